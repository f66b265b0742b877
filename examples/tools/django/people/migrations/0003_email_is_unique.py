from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("people", "0002_fill_email")]
    operations = [
        migrations.AlterField("Person", "email", models.EmailField(unique=True, max_length=254)),
    ]
