"""One progress bar for all long work: simulating, training, checking."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(
    title: str, total: int, *, unit: str, show: bool = True
) -> Iterator[Callable[..., None]]:
    """Yield `advance(done, message="")`, which sets the bar to `done` of `total`.

    The bar writes to standard error, shows the time left, and stays silent where nobody looks
    (`show=False`) or where the output is no terminal.
    """
    from rich.console import Console

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[message]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not show or not console.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=total, message="")

        def advance(done: int, message: str = "") -> None:
            bar.update(task, completed=done, message=message)

        yield advance
