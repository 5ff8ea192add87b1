"""The configs that come with tfxray: `tfxray run --config demo` finds `demo.yaml` here."""
