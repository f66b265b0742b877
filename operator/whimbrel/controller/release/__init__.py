"""What a release needs of the API server: Services, endpoints, workloads, and live values."""
