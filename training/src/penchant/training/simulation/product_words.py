"""What products are called: categories, brands and colours in five languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LANGUAGES: Final = ("en", "pl", "cs", "ar", "fa")
"""Languages of titles and of visitors."""
LANGUAGE_SHARES: Final = (0.76, 0.08, 0.06, 0.05, 0.05)
"""Share of each language among items and visitors."""


@dataclass(frozen=True, kw_only=True)
class Category:
    """A kind of product."""

    name: str
    """As in the item table."""
    words: tuple[str, str, str, str, str]
    """As in titles and queries, one a language."""
    price: float
    """Usual price."""
    peak: float = 0.0
    """When most are wanted, as a share of the year passed."""
    strength: float = 0.0
    """Logarithm of how much more than usual are wanted then; 0 for no season."""


def _category(words: str, price: float, peak: float = 0.0, strength: float = 0.0) -> Category:
    english, polish, czech, arabic, persian = words.split("|")
    return Category(
        name=english,
        words=(english, polish, czech, arabic, persian),
        price=price,
        peak=peak,
        strength=strength,
    )


CATEGORIES: Final = (
    _category("boots|kozaki|kozačky|جزمة|چکمه", 120, 0.80, 1.2),
    _category("coats|płaszcz|kabát|معطف|پالتو", 180, 0.84, 1.6),
    _category("jackets|kurtka|bunda|جاكيت|کاپشن", 110, 0.76, 0.9),
    _category("sweaters|sweter|svetr|كنزة|پلیور", 60, 0.86, 1.1),
    _category("scarves|szalik|šála|وشاح|شال گردن", 25, 0.90, 1.3),
    _category("gloves|rękawiczki|rukavice|قفازات|دستکش", 30, 0.93, 1.5),
    _category("hats|czapka|čepice|قبعة|کلاه", 22, 0.90, 0.9),
    _category("socks|skarpetki|ponožky|جوارب|جوراب", 9),
    _category("sandals|sandały|sandály|صندل|صندل", 55, 0.45, 1.5),
    _category("swimwear|strój kąpielowy|plavky|ملابس سباحة|مایو", 40, 0.48, 1.7),
    _category(
        "sunglasses|okulary słoneczne|sluneční brýle|نظارات شمسية|عینک آفتابی", 70, 0.45, 1.0
    ),
    _category("shorts|szorty|kraťasy|شورت|شلوارک", 35, 0.46, 1.3),
    _category("dresses|sukienka|šaty|فستان|پیراهن زنانه", 80, 0.38, 0.6),
    _category("skirts|spódnica|sukně|تنورة|دامن", 45, 0.36, 0.4),
    _category("jeans|dżinsy|džíny|جينز|شلوار جین", 75),
    _category("shirts|koszula|košile|قميص|پیراهن", 45),
    _category("sneakers|buty sportowe|tenisky|أحذية رياضية|کفش ورزشی", 90, 0.28, 0.3),
    _category("bags|torebka|kabelka|حقيبة|کیف", 95),
    _category("belts|pasek|pásek|حزام|کمربند", 28),
    _category("watches|zegarek|hodinky|ساعة|ساعت مچی", 160, 0.95, 0.7),
    _category("jewelry|biżuteria|šperk|مجوهرات|جواهرات", 85, 0.96, 0.9),
    _category("umbrellas|parasol|deštník|مظلة|چتر", 24, 0.82, 0.6),
    _category("perfume|perfumy|parfém|عطر نسائي|عطر", 65, 0.96, 1.0),
    _category("pyjamas|piżama|pyžamo|بيجاما|پیژامه", 38, 0.95, 0.5),
)
"""Every category of the simulated shop."""

CATEGORY_NAMES: Final = tuple(category.name for category in CATEGORIES)
"""Names of the categories, in the order of their numbers."""

BRANDS: Final = (
    "Norvik", "Alder & Fen", "Tamsin", "Okoro", "Lumi", "Bergau", "Maret", "Quillan",
    "Sorrel", "Havre", "Dunmore", "Ilmari", "Casta", "Velin", "Pomona", "Ostra",
    "Rook & Daw", "Selwyn", "Tirza", "Umber", "Wyke", "Yarrow", "Zelkova", "Ember",
)  # fmt: skip
"""Brands, made up; the later in the list, the dearer."""

COLOURS: Final = (
    ("black", "kolor czarny", "barva černá", "لون أسود", "رنگ مشکی"),
    ("white", "kolor biały", "barva bílá", "لون أبيض", "رنگ سفید"),
    ("red", "kolor czerwony", "barva červená", "لون أحمر", "رنگ قرمز"),
    ("blue", "kolor niebieski", "barva modrá", "لون أزرق", "رنگ آبی"),
    ("green", "kolor zielony", "barva zelená", "لون أخضر", "رنگ سبز"),
    ("grey", "kolor szary", "barva šedá", "لون رمادي", "رنگ خاکستری"),
)
"""Colours as titles and queries name them, one a language."""

CITIES: Final = ("Kraków", "Gdańsk", "Brno", "Plzeň", "Leeds", "Bristol", "عمّان", "شیراز")
"""Cities of customers."""


def title(category: int, language: int, *, brand: str, colour: int, model: int) -> str:
    """An item's title, in one language."""
    return f"{CATEGORIES[category].words[language]} {brand} {COLOURS[colour][language]} {model}"


def queries(category: int, language: int) -> tuple[str, ...]:
    """What visitors of one language type to find a category, the plain word first."""
    word = CATEGORIES[category].words[language]
    return (word, *(f"{word} {colour[language]}" for colour in COLOURS))
