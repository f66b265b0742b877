"""create users"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        # PostgreSQL can look into JSONB by an index; MariaDB and MySQL have JSON alone.
        sa.Column("tags", sa.JSON().with_variant(JSONB(), "postgresql")),
    )
    op.execute("INSERT INTO users (name) VALUES ('Ada Lovelace'), ('Grace Hopper')")


def downgrade():
    op.drop_table("users")
