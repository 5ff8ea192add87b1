"""Finds the packages: folders of this repository are packages below `tfxray`.

pyproject.toml says all else. It can find packages too, but would name them as their folders.
"""

from setuptools import find_packages, setup

FOLDERS = ("components", "configs", "pipeline", "schema")

names = find_packages(include=[name for folder in FOLDERS for name in (folder, f"{folder}.*")])
setup(
    packages=[f"tfxray.{name}" for name in names],
    package_dir={f"tfxray.{folder}": folder for folder in FOLDERS},
)
