"""Messages of generation (request, step, step result, result, progress) and ids computed from them."""

import re
import unicodedata
from enum import StrEnum
