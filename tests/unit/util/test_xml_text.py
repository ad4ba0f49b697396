"""util.xml_text with Python's own writer and reader of XML-RPC."""

import xmlrpc.client
from types import SimpleNamespace

from util.xml_text import send_only_xml


def test_what_is_sent_is_xml_whatever_its_texts_hold() -> None:
    module, importer = (SimpleNamespace(dumps=xmlrpc.client.dumps) for _ in range(2))
    send_only_xml(module, importer)
    sent = {"a\x00": "\x1b[0m", "b": "\t\u20ac\U0001f980\ud800\uffff"}
    for dumps in (module.dumps, importer.dumps):
        (received,), _ = xmlrpc.client.loads(dumps((sent,), methodresponse=True))
        assert received == {"a\ufffd": "\ufffd[0m", "b": "\t\u20ac\U0001f980\ufffd\ufffd"}
