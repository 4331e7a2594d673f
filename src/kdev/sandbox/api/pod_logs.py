"""``pods/log``: a container's output as plain text, to its end or as it comes."""

from collections.abc import AsyncIterator, Mapping

from kdev.sandbox.api import statuses
from kdev.sandbox.api.pod_specs import containers_of
from kdev.sandbox.interface import ContainerNotRunning, Object, Runtime

_UNSUPPORTED = ("sinceSeconds", "sinceTime", "stream")


def chosen_container(pod: Object, query: Mapping[str, str]) -> str:
    """The container that a request means.

    Raises:
        Refusal: 400, none of that name, or a choice has to be made.
    """
    name = pod["metadata"]["name"]
    wanted = query.get("container", "")
    names = [container["name"] for _, container in containers_of(pod["spec"])]
    if wanted:
        if wanted not in names:
            raise statuses.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    ordinary = [container["name"] for container in pod["spec"]["containers"]]
    if len(ordinary) > 1:
        choices = " ".join(ordinary)
        raise statuses.bad_request(f"a container name must be specified for pod {name}, choose one of: [{choices}]")
    return str(ordinary[0])


async def lines(node: Runtime, pod: Object, query: Mapping[str, str]) -> AsyncIterator[bytes]:
    """The wanted part of a container's output; the first piece comes, or the refusal is raised, at the first step.

    Raises:
        Refusal: 400, the container has nothing to show, or a parameter is none; 501 for what the sandbox cannot filter.
    """
    if unsupported := [name for name in _UNSUPPORTED if name in query]:
        raise statuses.not_implemented(f"logs by {', '.join(unsupported)}")
    container = chosen_container(pod, query)
    left = _number(query, "limitBytes")
    pieces = node.logs(
        pod["metadata"]["uid"],
        container,
        follow=_flag(query, "follow"),
        tail_lines=_number(query, "tailLines"),
        previous=_flag(query, "previous"),
        timestamps=_flag(query, "timestamps"),
    )
    try:
        async for piece in pieces:
            yield piece if left is None else piece[:left]
            if left is not None and (left := left - len(piece)) <= 0:
                return
    except (KeyError, ContainerNotRunning) as error:
        raise _nothing_to_show(pod["metadata"]["name"], container, previous=_flag(query, "previous")) from error


def _nothing_to_show(pod: str, container: str, *, previous: bool) -> statuses.Refusal:
    if previous:
        return statuses.bad_request(f'previous terminated container "{container}" in pod "{pod}" not found')
    return statuses.bad_request(f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating')


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "") in {"true", "1"}


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise statuses.bad_request(f"{name}: Invalid value: {text!r}: must be a number greater than or equal to 0")
    return int(text)
