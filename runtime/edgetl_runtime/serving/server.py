"""The page's server, beside the pipeline and never in its way."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from edgetl_runtime.errors import ServiceError, StorageError
from edgetl_runtime.outputs.output import Output
from edgetl_runtime.serving.authority import find_folder
from edgetl_runtime.serving.classifying import Classifying
from edgetl_runtime.serving.codes import Code
from edgetl_runtime.serving.feed import PageFeed
from edgetl_runtime.serving.listener import listen
from edgetl_runtime.serving.token import keep_token, make_token
from edgetl_runtime.serving.trust import Trust
from edgetl_runtime.serving.webserver import WebServer
from edgetl_runtime.settings.sections import ServeSettings
from edgetl_runtime.system.network import find_own_address

if TYPE_CHECKING:
    from edgetl_runtime.serving.classroom import Learner

_NO_EXTRA = "the page needs `pip install 'edgetl-runtime[serve]'`"


class PageServer:
    """Serves the page on a thread of its own.

        server = PageServer(settings.serve)
        pipeline = Pipeline(classifier, feed, [*outputs, server.output], settings)
        print(server.start(pipeline))
        ...
        server.close()

    Attributes:
        output: Gets the answers; to be handed to the pipeline.
        token_hint: Once started, what to add to the address; empty if it is whole.
        trust_hint: Once started with TLS, where phones learn to trust this machine.
    """

    def __init__(
        self,
        settings: ServeSettings,
        token_file: Path | None = None,
        *,
        shows_kept_token: bool = False,
        show_codes: Callable[[Sequence[Code]], None] | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            settings: Where to listen, and limits.
            token_file: Where a token is kept that is made here; None: it lives as long as this.
            shows_kept_token: The address goes to a person, and to no log.
            show_codes: With TLS, called with what a phone may scan, the address among it.
        """
        self._settings = settings
        self._token_file = token_file
        self._state = str(token_file.parent) if token_file else None
        self._shows_kept_token = shows_kept_token
        self._show_codes = show_codes
        self.token_hint = ""
        self.trust_hint = ""
        self._feed = PageFeed(settings.page_fps)
        self._server: WebServer | None = None
        self._trust: Trust | None = None

    @property
    def output(self) -> Output:
        """The page as an output."""
        return self._feed

    def start(self, classifying: Classifying, learner: "Learner | None" = None) -> str:
        """Listens, and answers from now on.

        Args:
            classifying: The pipeline; asked from other threads.
            learner: The service, if the page may teach it.

        Returns:
            The address to open. A token is part of it if it was made here, and a person reads it
            or it is kept nowhere else: what somebody set is not shown, and no log gets what can
            be read in a file.

        Raises:
            ServiceError: If an extra is missing, the port is in use, the address is not ours, or
                the authority of TLS cannot be used.
        """
        try:
            import uvicorn  # noqa: F401

            from edgetl_runtime.serving import access, app, classroom
        except ImportError as error:
            raise ServiceError(f"{_NO_EXTRA} ({error.name} is missing)") from error
        listener = listen(self._settings.host, self._settings.port)
        address, port = listener.getsockname()[:2]
        token, shown = self._choose_token()
        try:
            if self._settings.tls:
                self._trust = Trust(find_folder(self._state), listener)
        except BaseException:
            listener.close()
            raise
        rules = access.Access(token, f"edgetl_{port}")
        limit = self._settings.max_picture_mb
        self._server = WebServer(
            app.build_app(
                classifying,
                self._feed,
                rules,
                max_picture_mb=limit,
                classroom=classroom.Classroom(learner, self._feed) if learner else None,
            ),
            listener,
            name="page",
            context=self._trust.context if self._trust else None,
            on_start=self._feed.notifier.subscribe,
            on_end=self._feed.notifier.unsubscribe,
        )
        query = f"?token={quote(token, safe='')}" if shown else ""
        if self._trust is None:
            return _url(address, port) + query
        return self._invite(self._trust, query)

    def _invite(self, trust: Trust, query: str) -> str:
        """The address, after a hint and codes for those who do not trust this machine yet."""
        self.trust_hint = trust.hint
        url = trust.url + query
        if self._show_codes and trust.is_public:
            self._show_codes([Code("1. Trust this machine", trust.page_url), Code("2. Open", url)])
        return url

    def close(self) -> None:
        """Ends all connections and the thread, within two seconds; a second call does nothing."""
        self._feed.close()
        for server in (self._server, self._trust):
            if server is not None:
                server.close()

    def _choose_token(self) -> tuple[str, bool]:
        """The token, and whether the address shows it."""
        if self._settings.token is not None:
            self.token_hint = "; add ?token= and the token that you set"
            return self._settings.token, False
        if self._token_file is None:
            return make_token(), True
        try:
            kept = keep_token(self._token_file)
        except StorageError as error:
            # A disk that cannot be written is no reason to show no page.
            self.token_hint = f" (the token changes at the next start, because {error})"
            return make_token(), True
        if not self._shows_kept_token:
            self.token_hint = f"; add ?token= and the content of {self._token_file}"
        return kept, self._shows_kept_token


def _url(address: str, port: int) -> str:
    host = find_own_address() if address in ("0.0.0.0", "::") else address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
