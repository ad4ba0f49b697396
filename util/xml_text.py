"""Text that XML can contain, for what Koji's programs send to each other."""

import re
from typing import Any

# The characters that XML 1.0 cannot contain, not even escaped. Halves of surrogate pairs are among
# them, as which Python reads a file name that is not UTF-8.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def send_only_xml(*modules: Any) -> None:
    """Replace what XML cannot contain in all that the function `dumps` of these modules writes.

    They are Koji's module `xmlrpcplus`, and those that import the function from it.
    """
    dumps = modules[0].dumps

    def dump_xml(*arguments: Any, **options: Any) -> str:
        return _NOT_XML.sub("\ufffd", dumps(*arguments, **options))

    for module in modules:
        module.dumps = dump_xml
