"""The engine of checkpoints on MariaDB: see docs/adr/0010."""
