"""The probe Job: health checks that are measured in a Pod of the object's namespace."""
