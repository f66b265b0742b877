from django.db import models


class Person(models.Model):
    name = models.TextField()
    email = models.EmailField(unique=True)
    tags = models.JSONField(null=True)

    class Meta:
        db_table = "people"
