"""What a user names: manifests, lists of scenes, catalogues, regions."""
