"""What a user names: manifests, lists of scenes, catalogs, regions."""
