import pytest

from tests.conftest import ROOT
from tfxray.components.common.errors import UserError
from tfxray.pipeline.config import loader


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_config_of_the_repository_is_valid_and_round_trips(path, tmp_path):
    config = loader.load_config(path)
    again = tmp_path / "again.yaml"
    again.write_text(config.to_yaml())
    assert loader.load_config(again) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "gate.auc.treshold=0.9",
            "gate.auc.treshold: no such key (did you mean threshold?); allowed here",
        ),
        ("nonsense=1", "nonsense: no such key; allowed here: name, classes"),
        ("train.epochs=many", "train.epochs = 'many'"),
        ("train.mode=thawed", "'frozen'"),
        ("train.optimizer=adagrad", "'adam', 'adamw', 'rmsprop' or 'sgd'"),
        ("train.distortions={twist: 3}", "allowed here: rotation, width_shift"),
        ("train.distortions={rotation: 400}", "less than or equal to 180"),
        ("train.distortions={rotation: 4}", "need copies"),
        ("train.copies=3", "copies need distortions"),
        ("train.replicas=65", "less than or equal to 64"),
        ("train={batch_size: 2, replicas: 4}", "smaller than replicas 4"),
        ("train={distribution: multi_worker, replicas: 2}", "replicas is not for distribution"),
        ("train={distribution: multi_worker, xla: true}", "xla is not for distribution"),
        ("kubeflow.workers=2", "kubeflow.workers need train.distribution multi_worker"),
        ("train.warm_up={epochs: 1}", "needs mode fine_tune"),
        ("train={mode: fine_tune, copies: 2}", "copies need mode frozen"),
        ("train={schedule: cosine, plateau: {}}", "choose one"),
        ("train.unfreeze=some", "train.unfreeze"),
        ("model.pooling=sum", "'flatten'"),
        ("classes=[A]", "two classes are needed"),
        ("classes=[0, 1]", "classes.0 = 0: YAML reads it as a number. Put it into quotes"),
        ("classes=[no, yes]", "classes.0 = False: YAML reads it as yes or no. Put it into quotes"),
        ("ingest.labels={1: A}", "YAML reads it as a number. Put it into quotes"),
        ("ingest.labels={x: 2024-01-31}", "YAML reads it as a date. Put it into quotes"),
        ("ingest.columns={name: x}", "allowed: path, label, split, patient"),
        ("ingest.exclude=['']", "ingest.exclude.0"),
        ("classes=[A, A]", "named twice"),
        ("split.train=0.9", "must sum to 1"),
        ("ingest.pattern='('", "no regular expression"),
        ("ingest.pattern='(?P<nurse>.)'", "allowed: age, kind, label"),
        ("ingest.exclude=['*[z-a].png']", "is no glob: bad character range"),
        ("ingest.features={a: b}", "allowed: image/encoded"),
        ("evaluate.slices=[shoe/size]", "'shoe/size'"),
        ("name=../up", "name = '../up'"),
        ("train", "write it as --set a.b=value"),
        ("name.first=x", "is a value, not a section"),
        (
            "evaluate.external={north: {data: x, findigs: [A]}}",
            "evaluate.external.north.findigs: no such key (did you mean findings?); allowed here: "
            "data, dataset",
        ),
        (
            "evaluate.external={north: {data: x, ingest: {patern: y}}}",
            "evaluate.external.north.ingest.patern: no such key (did you mean pattern?); allowed "
            "here: ",
        ),
        (
            "tune.ranges={train.epochs: {minn: 1}}",
            "tune.ranges.train.epochs.minn: no such key (did you mean min?); allowed here: ",
        ),
        ("patients=own", "patients: no such key (did you mean evaluate.external.NAME.patients?)"),
        ("gate=null", "gate = None: must hold keys and values; allowed here: "),
        (
            "evaluate.external={north: /data}",
            "evaluate.external.north = '/data': must hold keys and values; allowed here: data, ",
        ),
        ("evaluate.external=[1]", "evaluate.external = [1]: must hold keys and values"),
        ("gate.auc=high", "gate.auc = 'high': must hold keys and values; allowed here: threshold"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_is_allowed(override, message):
    with pytest.raises(UserError, match=r"demo.yaml|--set") as caught:
        loader.load_config(ROOT / "configs" / "demo.yaml", (override,))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "\x00"])
def test_a_file_that_is_no_config_is_refused(text, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"c\.yaml"):
        loader.load_config(path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("findings=[X, x]", "'X' and 'x' differ in capitals"),
        ("findings=[T+, T-]", "no table or text tells them apart"),
        ("ingest.columns={Mass: a, Edema: a}", "one heading for two findings: a"),
        ("ingest.features={finding/Mass: a, finding/Edema: a}", "one feature for two findings"),
        ("ingest.labels={Hernia: Zzz}", "['Zzz'] are none of the findings"),
        ("ingest.sample={}", "ingest.sample.findings: write true"),
        ("findings=[]", "give either `classes`"),
        ("classes=[A, B]", "give either `classes`"),
        ("findings=[Mass, Mass]", "named twice"),
        ("findings=[Mass, Age]", "what a column of the metadata is called"),
        ("gate.auc.each={Hernia: 0.5}", "['Hernia'] are none of them"),
    ],
)
def test_findings_that_cannot_be_told_apart_are_refused(tmp_path, override, message):
    path = tmp_path / "findings.yaml"
    path.write_text("name: f\nfindings: [Mass, Edema]\n")
    with pytest.raises(UserError) as caught:
        loader.load_config(path, (override,))
    assert message in str(caught.value)


def test_two_classes_have_no_auc_of_each():
    with pytest.raises(UserError, match="two classes have one AUC"):
        loader.load_config(ROOT / "configs" / "demo.yaml", ("gate.auc.each=0.5",))
