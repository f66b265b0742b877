from django.db import migrations, models


def fill_email(apps, schema_editor):
    Person = apps.get_model("people", "Person")
    for person in Person.objects.using(schema_editor.connection.alias).iterator():
        person.email = person.name.lower().replace(" ", ".") + "@example.com"
        person.tags = {"words": person.name.split()}
        person.save(update_fields=["email", "tags"])


def forget_email(apps, schema_editor):
    Person = apps.get_model("people", "Person")
    Person.objects.using(schema_editor.connection.alias).update(email=None, tags=None)


class Migration(migrations.Migration):
    dependencies = [("people", "0001_create_people")]
    operations = [
        migrations.AddField("Person", "email", models.EmailField(null=True, max_length=254)),
        # jsonb on PostgreSQL, on MariaDB text that the server checks: Django decides by dialect.
        migrations.AddField("Person", "tags", models.JSONField(null=True)),
        migrations.RunPython(fill_email, forget_email),
    ]
