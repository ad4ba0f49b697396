"""util.xml_text with Python's own writer and reader of XML-RPC."""

import xmlrpc.client
from types import SimpleNamespace

import pytest

from util.xml_text import send_only_xml


def test_what_is_sent_is_xml_whatever_its_texts_hold() -> None:
    module, importer = (SimpleNamespace(dumps=xmlrpc.client.dumps) for _ in range(2))
    send_only_xml(module, importer)
    sent = {"a\x00": "\x1b[0m", "b": "\t\u20ac\U0001f980\ud800\uffff"}
    for dumps in (module.dumps, importer.dumps):
        (received,), _ = xmlrpc.client.loads(dumps((sent,), methodresponse=True))
        assert received == {"a\ufffd": "\ufffd[0m", "b": "\t\u20ac\U0001f980\ufffd\ufffd"}


def test_a_long_error_is_shortened() -> None:
    """That of kojid where a build has made many files, with the names of all."""
    module = SimpleNamespace(dumps=xmlrpc.client.dumps)
    send_only_xml(module)
    text = module.dumps(xmlrpc.client.Fault(1005, "\u20ac" * 20_000_000))
    with pytest.raises(xmlrpc.client.Fault) as error:
        xmlrpc.client.loads(text)
    assert error.value.faultCode == 1005
    assert error.value.faultString == "\u20ac" * 65536 + "..."
