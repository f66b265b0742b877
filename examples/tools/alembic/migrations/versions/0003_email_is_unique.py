"""email is unique and always there"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    # MariaDB wants the whole column again, and to know what kind of constraint goes.
    op.alter_column("users", "email", existing_type=sa.String(255), nullable=False)
    op.create_unique_constraint("users_email_key", "users", ["email"])


def downgrade():
    op.drop_constraint("users_email_key", "users", type_="unique")
    op.alter_column("users", "email", existing_type=sa.String(255), nullable=True)
