"""The text and the HTML of a message, by Jinja templates that the organiser can replace.

In: an Announcement and a language. Out: a Rendered message. Templates are in templates/; a file of the same name in the organiser's
folder replaces ours. They run in a sandbox, and what is not defined in them is an error. `check` tries every template in every
language, with names as an attacker would type them: NotStarted says in which file and line something is wrong (template_check.py).
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError, pass_context
from jinja2.loaders import ChoiceLoader
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from server.errors import NotStarted
from server.model import Price, TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.message.content import Message, header_text, isolated, message
from server.notify.message.folder import HTML, OURS, TEXT, Sources, read_templates
from server.notify.message.languages import PATTERN, Language, Languages
from server.single_line import clean

LARGEST_PART = 256_000
"""Bytes of the text, or of the HTML, that an organiser's template may make."""
TEST_MARK = "[test] "
"""What stands before the subject of a test."""

_EVIL = "<script>x</script>\r\nBcc: x@evil.example\u2028=?utf-8?q?a=0D=0AX=3A?= \u202e{{ 7 * 7 }} &amp; \ud800"
_SAMPLE_LINK = "https://tickets.example.org/u/token?a=1&b=2"
_SAMPLE_PAGE = "https://www.example.org/events/gala?a=1&b=2"


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message, finished but for the headers. `subject` is on one line, and no part of it can be read as an encoded word."""

    language: str
    subject: str
    text: str
    html: str


class TooLarge(Exception):
    """A template makes more than a mail may have; the text names its file."""


class Renderer:
    """Writes messages from *sender* at this postal *address*; raises NotStarted where a file of texts or the folder is wrong.

    *own* is the organiser's folder of templates and texts, None = ours alone. *default* is the language for those whose language
    is not known. No template runs before `check` or `render` is called.
    """

    def __init__(self, sender: str, address: str, *, own: Path | None = None, default: str = PATTERN) -> None:
        self._own = read_templates(own)
        self.languages = Languages(own, default)
        self._sender, self._address = clean(sender), clean(address)
        self._began: Callable[[str], None] = lambda _: None
        self._at = "a template"
        self._templates = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader([Sources(self._own), FileSystemLoader(OURS)]),
            autoescape=lambda name: name is not None and name.endswith(".html.j2"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._templates.globals["say"] = _say
        self._templates.filters["isolated"] = _isolated

    @property
    def has_own_templates(self) -> bool:
        """Whether a template of the organiser's may run."""
        return bool(self._own)

    def language(self, wanted: str) -> str:
        """The language of a message to a subscriber whose language the tool writes so ("" = not known)."""
        return self.languages.choose(wanted).name

    def message(self, announcement: Announcement, language: str) -> Message:
        """What is said, as values; a push message is made of them."""
        return message(announcement, self.languages.choose(language))

    def render(self, announcement: Announcement, language: str, unsubscribe: str, *, test: bool = False) -> Rendered:
        """The message in this language; *unsubscribe* is the link by which this one reader leaves. Raises TooLarge."""
        spoken = self.languages.choose(language)
        said = message(announcement, spoken)
        values = {
            "language": spoken,
            "direction": spoken.direction,
            "title": said.title,
            "page": said.page,
            "tickets": said.tickets,
            "more": said.more,
            "begins": said.begins,
            "zone": said.zone,
            "place": said.place,
            "subject": said.subject,
            "sender": self._sender,
            "address": self._address,
            "unsubscribe": unsubscribe,
        }
        subject = f"{TEST_MARK}{said.subject}" if test else said.subject
        return Rendered(
            spoken.name, header_text(subject, 1000), self._written(TEXT, values), self._written(HTML, values)
        )

    def _written(self, name: str, values: Mapping[str, Any]) -> str:
        self._at = self._file(name)
        self._began(self._at)
        template = self._templates.get_template(name)
        if not self._own:
            return template.render(values)
        parts, size = [], 0
        for part in template.generate(values):
            parts.append(part)
            size += len(part.encode(errors="replace"))
            if size > LARGEST_PART:
                raise TooLarge(f"{self._file(name)}: it makes more than {LARGEST_PART // 1000} kB")
        return "".join(parts)

    def check(self, began: Callable[[str], None] = lambda _: None) -> None:
        """Try every template in every language, with a sample as an attacker would type it; raises NotStarted.

        *began* gets the file of each template before it runs.
        """
        self._began = began
        for language in self.languages.all:
            for sample in (_announcement(_EVIL, begins=None), _announcement(_EVIL, begins=1_804_359_600.0)):
                try:
                    rendered = self.render(sample, language.name, _SAMPLE_LINK)
                except Exception as error:
                    raise NotStarted(self._fault(error)) from error
                self._check_sample(rendered, language)

    def _check_sample(self, rendered: Rendered, language: Language) -> None:
        if "<script" in rendered.html.lower():
            raise NotStarted(f"{self._file(HTML)}: a name is written as HTML: leave out |safe")
        for name, content, link in (
            (HTML, rendered.html, str(escape(_SAMPLE_LINK))),
            (TEXT, rendered.text, _SAMPLE_LINK),
        ):
            page = _SAMPLE_PAGE if name == TEXT else str(escape(_SAMPLE_PAGE))
            who = self._address if name == TEXT else str(escape(self._address))
            for key, value in (("unsubscribe", link), ("page", page), ("address", who)):
                if value not in content:
                    raise NotStarted(
                        f"{self._file(name)}: it says nothing of {{{{ {key} }}}} (in {language.name}), which each mail must have"
                    )

    def _file(self, name: str) -> str:
        return str(self._own[name].file if name in self._own else OURS / name)

    def _fault(self, error: Exception) -> str:
        """What is wrong with a template, with its file and line."""
        if isinstance(error, TooLarge):
            return str(error)
        if isinstance(error, TemplateSyntaxError):
            return f"{error.filename or error.name}:{error.lineno}: {error.message}"
        places = [one for one in traceback.extract_tb(error.__traceback__) if one.filename.endswith(".j2")]
        place = f"{places[-1].filename}:{places[-1].lineno}" if places else self._at
        if isinstance(error, MemoryError):
            return f"{place}: it needs too much memory"
        return f"{place}: {type(error).__name__}: {error}"


@pass_context
def _say(context: Context, key: str, **names: str) -> str:
    """`say("heading", event=title)`: a sentence of the language, with names filled in; in HTML each name is in <bdi>."""
    language: Language = context["language"]
    if key not in language.sentences:
        raise TemplateError(f"there is no sentence {key!r}. There are {', '.join(language.sentences)}")
    sentence = language.sentences[key]
    try:
        if context.eval_ctx.autoescape:
            return escape(sentence).format(**{name: _isolated(context, value) for name, value in names.items()})
        return sentence.format(**{name: _isolated(context, value) for name, value in names.items()})
    except KeyError as error:
        raise TemplateError(f"the sentence {key!r} needs a name for {error}") from None


@pass_context
def _isolated(context: Context, name: str) -> str:
    """`name|isolated`: a name that turns nothing around it, whichever way it is written; in HTML it is in <bdi>."""
    if context.eval_ctx.autoescape:
        return Markup("<bdi>{}</bdi>").format(name)
    return isolated(name, context["language"])


def _announcement(name: str, begins: float | None) -> Announcement:
    prices = (Price("45.00", "EUR", "o1", name), Price("0", "EUR", "o2", name))
    tickets = (
        AnnouncedTicket(TicketId("t1"), name, 1_796_144_400.0, on_sale=True, prices=prices),
        AnnouncedTicket(TicketId("t2"), name, 1_796_146_200.0, on_sale=False),
    )
    return Announcement(name, _SAMPLE_PAGE, tickets, begins, "Europe/Berlin", name)
