"""A message: what it says in one language, and how that is written as text, HTML and a mail.

content.py    what a message says, in one language
languages.py  the sentences of each language, from texts/
folder.py     the organiser's folder: which files may be in it
renderer.py   the text and the HTML of a message, by templates that can be replaced
template_check.py  tries an organiser's templates in a process of its own
mime.py       a mail as bytes: headers, parts, and the check of both
texts/        the sentences of each language, one file each
templates/    the templates of a mail
"""
