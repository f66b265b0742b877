"""add email and fill it"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("users", sa.Column("email", sa.String(255)))
    connection = op.get_bind()
    users = sa.table("users", sa.column("id"), sa.column("name"), sa.column("email"))
    for user in connection.execute(sa.select(users.c.id, users.c.name)).fetchall():
        email = user.name.lower().replace(" ", ".") + "@example.com"
        connection.execute(users.update().where(users.c.id == user.id).values(email=email))


def downgrade():
    op.drop_column("users", "email")
