"""The sandbox in containers: what `docker-compose.yaml` needs beyond the images it names."""
