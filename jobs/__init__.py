"""One YAML file a watched model: data that an installed copy finds as the resources of this package."""
