"""What Transform makes of findings: U-Ignore, U-Ones and U-Zeros (Irvin et al., CheXpert, 2019)."""

import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.transform.preprocessing import stack_findings

SAID = [1, 0, -1, None, -1]  # of five images: present, absent, uncertain, nothing, uncertain


def inputs(**findings):
    """The features as records are parsed."""
    sparse = {}
    for name, values in findings.items():
        places = [place for place, value in enumerate(values) if value is not None]
        sparse[contract.finding(name)] = tf.SparseTensor(
            [[place, 0] for place in places] or tf.zeros((0, 2), tf.int64),
            tf.constant([values[place] for place in places], tf.int64),
            [len(values), 1],
        )
    return sparse


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("ignore", [1, 0, -1, -1, -1]),
        ("positive", [1, 0, 1, -1, 1]),
        ("negative", [1, 0, 0, -1, 0]),
    ],
)
def test_a_policy_changes_what_is_uncertain_and_nothing_else(policy, expected):
    labels = stack_findings(inputs(Edema=SAID), [("Edema", policy)], tf.constant(5))
    assert labels.numpy().tolist() == [[value] for value in expected]


def test_each_finding_has_its_own_policy_and_its_own_column():
    findings = inputs(Edema=SAID, Effusion=[None, -1, -1, 0, 1])
    policies = [("Effusion", "negative"), ("Edema", "positive")]
    labels = stack_findings(findings, policies, tf.constant(5))
    assert labels.numpy().T.tolist() == [[-1, 0, 0, 0, 1], [1, 0, 1, -1, 1]]


def test_a_finding_of_which_nobody_says_anything_is_unknown():
    labels = stack_findings(inputs(Edema=[None] * 3), [("Edema", "positive")], tf.constant(3))
    assert labels.numpy().tolist() == [[-1]] * 3
