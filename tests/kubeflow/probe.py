"""A package whose containers tell what they were started with: of each kind of placeholder one."""

from pathlib import Path

from kfp import compiler, dsl

# Prints its arguments as JSON, a line after this mark; writes the output parameter that it is told.
MARK = "started with "
_TELL = f"""
import json, os, sys
print({MARK!r} + json.dumps(sys.argv[1:]), flush=True)
if "--told" in sys.argv:
    path = sys.argv[sys.argv.index("--told") + 1]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write("yes")
"""
COMMAND = ["python3", "-c", _TELL]


@dsl.container_component
def first(
    text: str,
    empty: str,
    whole: int,
    share: float,
    on: bool,
    several: list,
    named: dict,
    run: str,
    told: dsl.OutputPath(str),
    page: dsl.Output[dsl.HTML],
):
    """Of each type of input, and of each kind of output."""
    inputs = [text, empty, whole, share, on, several, named, run]
    outputs = ["--told", told, "--page", page.uri, page.path, "--all", "{{$}}"]
    # What stands in the arguments themselves, and beside other text.
    own = ["{{$.pipeline_job_uuid}}", "{{ not.ours }}", f"a-{text}-b"]
    return dsl.ContainerSpec(image="image:1", command=COMMAND, args=[*inputs, *own, *outputs])


@dsl.container_component
def second(text: str, beside: str):
    """Gets what another task put out, and a name of the run's that stands beside other text."""
    return dsl.ContainerSpec(image="image:1", command=COMMAND, args=[text, beside])


@dsl.container_component
def last(run: str):
    """Runs whatever happened."""
    return dsl.ContainerSpec(image="image:1", command=COMMAND, args=[run])


@dsl.pipeline(name="probe")
def probe(
    text: str = "ä 'b' \"c\" $(d)",
    empty: str = "",
    whole: int = 3,
    share: float = 2.5,
    on: bool = True,
    several: list = ["x", 1],  # noqa: B006  a default of the package's
    named: dict = {"k": [True]},  # noqa: B006
) -> None:
    """All of them."""
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    end = last(run=run)
    end.set_caching_options(False)
    with dsl.ExitHandler(end, name="all"):
        start = first(
            text=text, empty=empty, whole=whole, share=share, on=on, several=several, named=named,
            run=run,
        )  # fmt: skip
        start.set_caching_options(False)
        with dsl.If(start.outputs["told"] == "yes", name="wanted"):
            second(text=start.outputs["told"], beside=f"of {run}").set_caching_options(False)
        with dsl.If(start.outputs["told"] == "no", name="unwanted"):
            second(text=start.outputs["told"], beside="never").set_caching_options(False)


def write_package(path: Path) -> None:
    """Writes it as the SDK that is installed does."""
    compiler.Compiler().compile(probe, str(path))
