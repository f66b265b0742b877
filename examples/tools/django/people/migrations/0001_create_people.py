from django.db import migrations, models


def first_people(apps, schema_editor):
    Person = apps.get_model("people", "Person")
    for name in ("Ada Lovelace", "Grace Hopper"):
        Person.objects.using(schema_editor.connection.alias).create(name=name)


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Person",
            fields=[
                ("id", models.BigAutoField(
                    auto_created=True, primary_key=True, serialize=False, verbose_name="ID",
                )),
                ("name", models.TextField()),
            ],
            options={"db_table": "people"},
        ),
        # The table goes on the way back, and its rows with it.
        migrations.RunPython(first_people, migrations.RunPython.noop),
    ]
