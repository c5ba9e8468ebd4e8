"""The machine: engine, base images, local registry, disk. Knows no deployments."""
