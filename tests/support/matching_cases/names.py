"""Names: without regard to case, by component and component group (PS3.4 C.2.2.2.1, C.2.2.2.4; PS3.5 §6.2.1).

How far PN matching goes beyond the literal is the implementation's to say: here a key of one group is compared with
each of a name's groups, one of several with the group at its place, and trailing empty components are none.
"""

from __future__ import annotations

from support.matching_cases.case import group

_SINGLE, _WILD = "C.2.2.2.1 PN", "C.2.2.2.4 PN"
_YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"

SINGLE = group(
    _SINGLE,
    ("PatientName", "Smith^John", "Smith^John", True),
    ("PatientName", "Smith^John", "smith^JOHN", True),
    ("PatientName", "Smith^John", "Smith", False),
    ("PatientName", "Smith", "Smith^John", False),
    ("PatientName", "Smith^John", "John^Smith", False),
    ("PatientName", "Smith^John", "Smith John", False),
    ("PatientName", "Smith^John^^^", "Smith^John", True),
    ("PatientName", "Smith^John", "Smith^John^^^", True),
    ("PatientName", "Smith^^^Dr", "Smith^^^Dr", True),
    ("PatientName", "Smith^^^Dr", "Smith^Dr", False),
    ("PatientName", "^John", "^john", True),
    ("PatientName", "Smith^John", "^John", False),
    ("PatientName", "O'Neil^Pat", "o'neil^pat", True),
    ("PatientName", "100%_^[x]", "100%_^[X]", True),
    ("PatientName", "1000_^x", "100%_^x", False),
    ("PatientName", None, "Smith", False),
    ("PatientName", "", "Smith", False),
    ("ReferringPhysicianName", "House^Greg", "HOUSE^GREG", True),
    ("ReferringPhysicianName", None, "HOUSE", False),
    ("NameOfPhysiciansReadingStudy", "House^Greg", "house^greg", True),
)

WILD = group(
    _WILD,
    ("PatientName", "Smith^John", "Smith*", True),
    ("PatientName", "Smith^John", "sm?th^j*", True),
    ("PatientName", "Smith", "Smith^*", True),
    ("PatientName", "Smith^John", "Smith^*", True),
    ("PatientName", "Smithson^John", "Smith^*", False),
    ("PatientName", "Smithson^John", "Smith*", True),
    ("PatientName", "Smith^John", "*john*", True),
    ("PatientName", "Smith^John", "*^john", True),
    ("PatientName", "Smith^John", "?", False),
    ("PatientName", "Smith^John", "Smith^John?", False),
    ("PatientName", "Smith^John^Q^Dr", "*^*^*^dr", True),
    ("PatientName", "Smith^John^^", "*john", True),
    ("PatientName", "10%^x", "10%*", True),
    ("PatientName", "100^x", "10%*", False),
    ("PatientName", "a_b", "a_*", True),
    ("PatientName", "axb", "a_*", False),
    ("PatientName", "a[b]", "*[B]", True),
    ("PatientName", "ab", "*[b]", False),
    ("PatientName", None, "?*", False),
    ("ReferringPhysicianName", "House^Greg", "HOUSE*", True),
    ("NameOfPhysiciansReadingStudy", "House^Greg", "*greg", True),
    ("NameOfPhysiciansReadingStudy", None, "*g*", False),
)

GROUPS = group(
    "PS3.5 §6.2.1 component groups",
    ("PatientName", _YAMADA, "yamada^tarou", True),
    ("PatientName", _YAMADA, "山田^太郎", True),
    ("PatientName", _YAMADA, "やまだ^たろう", True),
    ("PatientName", _YAMADA, "やまだ*", True),
    ("PatientName", _YAMADA, "山田*", True),
    ("PatientName", _YAMADA, "山本*", False),
    ("PatientName", _YAMADA, "山?^太郎", True),
    ("PatientName", _YAMADA, "=山田*", True),
    ("PatientName", _YAMADA, "=yamada*", False),
    ("PatientName", _YAMADA, "==やまだ*", True),
    ("PatientName", _YAMADA, "==山田*", False),
    ("PatientName", _YAMADA, "yamada^tarou=山田^太郎", True),
    ("PatientName", _YAMADA, "yamada*=山田*", True),
    ("PatientName", _YAMADA, "yamada*=山本*", False),
    ("PatientName", _YAMADA, "suzuki*=山田*", False),
    ("PatientName", _YAMADA, _YAMADA, True),
    ("PatientName", _YAMADA, "yamada*=山田*=やまだ*", True),
    ("PatientName", _YAMADA, "yamada*=山田*=すずき*", False),
    ("PatientName", _YAMADA, "*=山田*", True),
    ("PatientName", _YAMADA, "yamada*==やまだ*", True),
    ("PatientName", _YAMADA, "yamada*=", True),
    ("PatientName", "=山田^太郎", "山田*", True),
    ("PatientName", "Yamada^Tarou", "yamada*=山田*", False),
    ("PatientName", "Yamada^Tarou==", "yamada^tarou", True),
    ("NameOfPhysiciansReadingStudy", _YAMADA, "山田*", True),
    ("NameOfPhysiciansReadingStudy", _YAMADA, "yamada*=山本*", False),
)

SCRIPTS = group(
    "PN in other scripts",
    ("PatientName", "Müller^Jürgen", "MÜLLER^JÜRGEN", True),
    ("PatientName", "Müller^Jürgen", "Mu\u0308ller^Ju\u0308rgen", True),
    ("PatientName", "Mu\u0308ller", "müller", True),
    ("PatientName", "Müller", "M?ller", True),
    ("PatientName", "GROẞ^Änne", "groß^änne", True),
    ("PatientName", "Groß", "GROSS", True),
    ("PatientName", "Иванов^Пётр", "ИВАНОВ^*", True),
    ("PatientName", "Παπαδόπουλος^Γιώργος", "ΠΑΠΑΔΌΠΟΥΛΟΣ^*", True),
    ("PatientName", "Hong^Gildong=洪^吉洞=홍^길동", "홍*", True),
    ("PatientName", "Wang^XiaoDong=王^小东", "王^小东", True),
    ("PatientName", "قباني^لنزار", "قباني*", True),
    ("PatientName", "שרון^דבורה", "*דבורה", True),
)

LONG = group(
    "PN longer than an index takes",
    ("PatientName", "x" * 500, "X" * 500, True),
    ("PatientName", "x" * 500, "x" * 400, False),
    ("PatientName", "x" * 500 + "y", "*Y", True),
    ("PatientName", "x" * 500 + "y", "x*z", False),
    ("PatientName", "Yamada=" + "ж" * 450, "=" + "ж" * 450, True),
    ("PatientName", "Yamada=" + "ж" * 450, "=" + "ж" * 449, False),
    ("PatientName", "Yamada=" + "ж" * 450, "yama*", True),
)

CASES = [*SINGLE, *WILD, *GROUPS, *SCRIPTS, *LONG]
