"""Push the images of a moromi.yml to a registry, with a list of their digests."""

import json
from collections.abc import Collection, Mapping

from nagoya.build import provenance, release
from nagoya.build.builder import Build
from nagoya.build.release import Address
from nagoya.build.steps import BuildOptions
from nagoya.build.volume_archive import EMBEDDED_LABEL
from nagoya.config.declaration import Declaration
from nagoya.engine import Engine, images, registry
from nagoya.errors import BuildError, CommandError, EngineError
from nagoya.utils.command import run
from nagoya.utils.parallel import raise_one_or_all, run_graph
from nagoya.utils.progress import Progress

_WORKERS = 2
_BILL = "/usr/share/nagoya/sbom.json"
"""Where an image of Nagoya's lists what it consists of (util/sbom.py)."""


class Push:
    """One call of `moromi push`: images, all that have a Dockerfile or those named, and what they
    are built from. Raises UsageError for unknown names."""

    def __init__(
        self,
        engine: Engine,
        declaration: Declaration,
        address: Address,
        names: Collection[str],
        *,
        options: BuildOptions,
        progress: Progress,
    ) -> None:
        self.engine, self.declaration, self.progress = engine, declaration, progress
        self.address = address
        self.build = Build(engine, declaration, names, options, progress)
        self.images = self.build.graph.images(self.build.wanted)
        self.ids: dict[str, str] = {}
        self.labels: dict[str, Mapping[str, str]] = {}
        self.digests: dict[str, str] = {}
        self.files: dict[str, bytes] = {}

    def run(self) -> str:
        """Push everything, the list last, and return the reference of the list by its digest.

        Raises BuildError before anything is pushed if an image is not up to date or contains
        secrets, EngineError if the registry does not take it.
        """
        self._check()
        self.progress.add(*self.images)
        # Parents first: the registry has the layers of their children then.
        results = run_graph(
            self.images, self._push, workers=_WORKERS, on_done=self.progress.finish
        )  # fmt: skip
        raise_one_or_all(results, EngineError, "some images could not be pushed")
        self._describe()
        return self.address.pinned(
            release.write(self.engine, self.address, self.digests, self.files)
        )

    def _check(self) -> None:
        plan = self.build.plan()
        causes = [f"  {name}: {step.cause}" for name, step in plan.items() if step.action != "keep"]
        if causes:
            raise BuildError(
                "\n".join(["not up to date, so nothing was pushed:", *causes]),
                "`moromi build`, and push again",
            )
        for name in self.images:
            attributes = images.inspect(self.engine, name)
            self.ids[name] = attributes["Id"]
            self.labels[name] = attributes["Config"]["Labels"] or {}
            if secrets := self.labels[name].get(EMBEDDED_LABEL):
                raise BuildError(
                    f"{name} contains secrets, so nothing was pushed: {secrets}",
                    "`secrets: false` in moromi.yml leaves them out",
                )

    def _push(self, name: str) -> None:
        tag = images.repository_and_tag(name)[1]
        reference = f"{self.address.repository(name)}:{tag}"
        self.progress.update(name, "working", "pushing")
        # Not by its name, which another build may move meanwhile.
        images.tag(self.engine, self.ids[name], reference)
        self.digests[name] = registry.push(
            self.engine, reference, lambda line: self.progress.output(name, line)
        )
        if bill := images.read_file(self.engine, self.ids[name], _BILL):
            self.files[f"sbom/{self._path(name)}.json"] = bill
        self.progress.update(name, "done", f"pushed, {self.digests[name][:19]}")

    def _describe(self) -> None:
        commit = self._commit()
        for step in self.build.graph.steps.values():
            for name in self.digests.keys() & set(step.outputs):
                parents = {image: self.digests[image] for image in self.images[name]}
                content = provenance.statement(
                    self.address.repository(name),
                    self.digests[name],
                    step,
                    labels=self.labels[name],
                    parents=parents,
                    commit=commit,
                )
                path = f"provenance/{self._path(name)}.json"
                self.files[path] = json.dumps(content, indent=1).encode()

    def _path(self, name: str) -> str:
        return self.address.repository(name).removeprefix(f"{self.address.registry}/")

    def _commit(self) -> str | None:
        """The commit of the checkout that has moromi.yml, if it has no other changes."""
        path = self.declaration.path
        git = ["git", "-C", str(path.parent)]
        try:
            run([*git, "ls-files", "--error-unmatch", path.name])
            changes = run([*git, "status", "--porcelain"])
            return None if changes else run([*git, "rev-parse", "HEAD"]).strip()
        except CommandError:
            return None
