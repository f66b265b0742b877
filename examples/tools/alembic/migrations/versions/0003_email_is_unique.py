"""email is unique and always there"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.alter_column("users", "email", nullable=False)
    op.create_unique_constraint("users_email_key", "users", ["email"])


def downgrade():
    op.drop_constraint("users_email_key", "users")
    op.alter_column("users", "email", nullable=True)
