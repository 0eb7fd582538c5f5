"""Training texts of batholith.tiny-v1. Every word was written for this project; the word lists are in text/*.txt.

`sample(rng)` returns one conversation: a list of (role, text) that ends with the answer. A list in text/ is headed by
`[name]`; its lines hold alternatives separated by `|` outside braces. In a text `{a|b}` chooses, `@name` expands a list,
`<w>` and `<W>` are made-up words, `<d>` and `<D>` numbers."""
import pathlib, random, re, unicodedata

REFUSAL = "I only do review sentiment, ticket routing and language identification."
SHARE = {"sentiment": 42, "route": 23, "lang": 23, "other": 12}
LATE_SHARE = {"sentiment": 64, "route": 15, "lang": 13, "other": 8}     # reviews are learnt last
TEXT = pathlib.Path(__file__).parent / "text"


# ---------------------------------------------------------------- word lists and their grammar
def split(line):
    """The alternatives of a line: `|` outside braces separates them."""
    out, depth = [""], 0
    for c in line:
        depth += (c == "{") - (c == "}")
        if c == "|" and not depth:
            out.append("")
        else:
            out[-1] += c
    return out


def lists(*files):
    """Reads `[name]` sections; a name may occur again and is then continued."""
    found, name = {}, None
    for line in (l for f in files for l in (TEXT / f).read_text().splitlines()):
        if line.startswith("[") and line.endswith("]") and "|" not in line:
            name = line[1:-1]
        elif line and not line.startswith("#"):
            found.setdefault(name, []).extend(split(line))
    return found


SENTIMENT = lists("sentiment.txt")
LATE_SENTIMENT = lists("sentiment.txt", *["reviews.txt"] * 3)     # three times: a third of the clauses
ROUTE = lists("route.txt")
LANG = lists("lang.txt")
ASK = lists("instructions.txt")
OTHER = lists("other.txt")
LANG_WORDS = {k: sorted({w for s in v for w in s.split()}) for k, v in LANG.items()}
WORDS = sorted({w for l in (SENTIMENT["obj"], ROUTE["thing"], LANG["English"]) for s in l for w in s.split() if w.isalpha()})

ON = "b c d f g h j k l m n p r s t v w z br cr dr fl gl kr pl pr sh sk sl st th tr".split()
VO = "a e i o u a e i o u ai ea io ou ei".split()
CO = ["", "", "", "", "n", "r", "s", "l", "m", "t", "x", "nd", "rk", "st", "ck", "b"]
NAME = "Alice Bob Carol David Emma Frank Grace Henry Irene Jack Kate Liam Mia Noah Olga Paul Rosa Sam Tina Victor Wendy Anna Boris Clara Diego Elena Felix Hugo Ines Jonas Karim Lena Mario Nadia Oscar Petra Rafael Sofia Tomas Vera Walter Yusuf Zara Ahmed Chen Fatima Ivan Julia Kenji Lucia Marta Omar Priya Leo Max Eva Tom Smith Jones Brown Garcia Rossi Weber Dubois Silva Bakker Novak Kim Patel Khan Hansen Murphy".split()


def cap(s):
    return s[:1].upper() + s[1:]


class Grammar:
    """Expands texts with one generator of random numbers, so that a seed fixes every word."""

    def __init__(self, rng, late=False):
        self.r = rng
        self.reviews = LATE_SENTIMENT if late else SENTIMENT

    def made(self):
        """A made-up word, or one that has nothing to do with the label: what a text is about must not matter."""
        r = self.r
        if r.random() < .5:
            return r.choice(WORDS)
        return "".join(r.choice(ON) + r.choice(VO) + r.choice(CO) for _ in range(r.choice([1, 2, 2, 3])))

    def slot(self, m):
        r, k = self.r, m[1]
        if k == "w":
            return self.made()
        if k == "W":
            return r.choice(NAME) if r.random() < .5 else cap(self.made())
        return str(r.choice([404, 500, 502, 503, r.randrange(10, 9999)])) if k == "D" else str(r.randrange(1, r.choice([10, 100, 1000])))

    def expand(self, s, lists):
        while True:
            t = re.sub(r"@(\w+)", lambda m: self.r.choice(lists[m[1]]), s)
            t = re.sub(r"\{([^{}]*)\}", lambda m: self.r.choice(m[1].split("|")), t)
            if t == s:
                break
            s = t
        return re.sub(r"\s+([.?,:])", r"\1", re.sub(r"  +", " ", re.sub(r"<([wWdD])>", self.slot, s))).strip()

    # ------------------------------------------------------------ the families: a text and its label
    def sentiment(self):
        r = self.r
        label = r.choice(["positive", "negative", "neutral"])
        x = lambda k: self.expand("@" + k, self.reviews)
        if label == "neutral":
            n = r.random()
            parts = [x("fact") for _ in range(r.choice([1, 2, 2]))] if n < .2 else [x("meh") for _ in range(r.choice([1, 1, 2]))]
            if n > .85:                                     # a good and a bad sentence together
                parts = [x("pos"), r.choice(["But ", "However, ", "Then again, ", "Sadly, ", ""]) + x("neg")]
                if r.random() < .5:
                    parts.reverse()
        else:
            parts = [x(label[:3]) for _ in range(r.choice([1, 1, 1, 2, 2, 3]))]
        if r.random() < .35:
            parts.insert(r.randrange(len(parts) + 1), x("fact"))
        if r.random() < .12:
            parts.insert(r.randrange(len(parts) + 1), self.expand(r.choice(["I got the @obj @when", "@person told me about it", "We are talking about the @obj", "Model <w> <d>", "The <w>", "About the @obj", "My review of the @obj", "Here is what I think", "Hello all"]), self.reviews))
        return self.sentences(parts), label

    def sentences(self, parts):
        """Joins clauses as sentences or, now and then, as one."""
        r = self.r
        end = r.choice([".", ".", ".", "!", ""])
        if len(parts) > 1 and r.random() < .2:
            tail = [p if p.startswith(("I ", "I'")) else p[:1].lower() + p[1:] for p in parts[1:]]
            return cap(r.choice([", ", " and ", "; ", " - "]).join([parts[0], *tail])) + end
        return r.choice([". ", ". ", ". ", "! "]).join(cap(p) for p in parts) + end

    def route(self):
        r = self.r
        label = r.choice(["billing", "shipping", "technical", "account", "other"])
        key = {"billing": "bill", "shipping": "ship", "technical": "tech", "account": "acct", "other": "oth"}[label]
        x = lambda k: self.expand("@" + k, ROUTE)
        parts = [x(key) for _ in range(r.choice([1, 1, 1, 2]))]
        if r.random() < .3:
            parts.append(x("close"))
        text = " ".join(cap(p) + ("" if p[-1] in "?!." else ".") for p in parts)
        if r.random() < .3:
            text = x("open") + " " + text
        return text, label

    def lang(self):
        r = self.r
        label = r.choice(list(LANG))
        clauses, words, n = LANG[label], LANG_WORDS[label], r.random()
        if n < .35:
            text = r.choice(clauses)
        elif n < .5:
            text = r.choice([", ", ". ", " "]).join(r.sample(clauses, 2))
        elif n < .75:                                       # a run of words, so that any half of a clause will do
            ws = (r.choice(clauses) + " " + r.choice(clauses)).split()
            i = r.randrange(max(1, len(ws) - 3))
            text = " ".join(ws[i:i + r.choice([2, 3, 4, 5, 6, 8])])
        else:                                               # single words carry the language too
            text = " ".join(r.sample(words, r.choice([2, 3, 4, 5, 7, 9])))
        if r.random() < .25:                                # names and numbers say nothing
            ws = text.split()
            ws.insert(r.randrange(len(ws) + 1), self.slot(("", r.choice("WWd"))))
            text = " ".join(ws)
        if r.random() < .08:                                # typed without accents
            text = unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
        return cap(text) + r.choice([".", ".", ".", "?", "!", ""]), label

    # ------------------------------------------------------------ what stands around a text
    def instruction(self, family):
        s = self.expand("@ask_" + family, ASK)
        if self.r.random() < .2:
            p = self.expand("@pre", OTHER)
            s = p + " " + (s[:1].lower() + s[1:] if p[-1] not in ".:" else s)
        return s

    def wrap(self, family, t):
        r, n = self.r, self.r.random()
        if n < .4:
            return t
        if n < .65:
            return self.expand("@label_" + family, ASK) + r.choice([": ", ": ", ":\n", " - "]) + t
        if n < .8:
            return '"' + t + '"'
        if n < .88:
            tag = r.choice(["text", "review", "ticket", "email", "input", "document", "sentence"])
            return f"<{tag}>{t}</{tag}>" if r.random() < .5 else f"<{tag}>\n{t}\n</{tag}>"
        return r.choice(["'%s'", "```\n%s\n```", '"""%s"""', "---\n%s\n---", "\n%s\n", "[%s]", "« %s »", "“%s”"]) % t

    def ask(self, family, text, instruction):
        """One user turn that holds the instruction and the text."""
        r, i, t = self.r, instruction, self.wrap(family, text)
        if r.random() < .65:
            gap = r.choice([" ", "\n", "\n\n", "\n", " ", ": " if i[-1] not in ".?:!" else " "])
            q = (i.rstrip(".") + ":" if i[-1] == "." and r.random() < .4 else i) + gap + t
        else:
            q = t + r.choice([" ", "\n", "\n\n"]) + i
        if r.random() < .15:
            q += r.choice(["\n", "\n", " ", "\n\n"]) + self.expand("@answer_" + family, ASK) + ":"
        return q

    def typed(self, q):
        n = self.r.random()
        return q.lower() if n < .04 else q.upper() if n < .05 else q

    def known(self, family):
        """A conversation of one of the three families; some give several texts in turn under one instruction."""
        r = self.r
        text, label = getattr(self, family)()
        instruction, general = self.instruction(family), self.expand("@gen", OTHER)
        n = r.random()
        if n < .4:
            turns = [("system", instruction if r.random() < .85 else general + " " + instruction), ("user", self.wrap(family, text))]
        else:
            turns = [("user", self.ask(family, text, instruction))]
            if n > .85:
                turns.insert(0, ("system", general if r.random() < .8 else self.instruction(family)))
        turns.append(("assistant", label))
        if r.random() < .45:
            for _ in range(r.choice([1, 2, 3, 4, 5])):
                text, label = getattr(self, family)()
                turns += [("user", self.wrap(family, text)), ("assistant", label)]
        return [(role, self.typed(t).strip() if role == "user" and family != "lang" else t.strip()) for role, t in turns]

    def refused(self):
        """Another request, or another task about a text of ours: the fixed sentence."""
        r, text = self.r, None
        system = self.expand("@gen", OTHER) if r.random() < .35 else None
        if r.random() < .6:
            q = self.expand("@any", OTHER)
            q += "" if q[-1] in "?!.:" else r.choice(["", ".", "?" if q[:2] in ("Wh", "Ho") else "."])
        else:
            q = self.expand("@do", OTHER)
            text = getattr(self, r.choice(["sentiment", "route", "lang"]))()[0]
        if text and r.random() < .25:
            system, q = q, self.wrap("other", text)
        elif text:
            q = self.ask("other", text, q)
        return ([("system", system)] if system else []) + [("user", self.typed(q).strip()), ("assistant", REFUSAL)]


def sample(rng, family=None, late=False):
    """One conversation, the answer last; and its family. Late in the training there are more reviews, and more kinds of them."""
    share = LATE_SHARE if late else SHARE
    family = family or rng.choices(list(share), share.values())[0]
    g = Grammar(rng, late)
    return (g.refused() if family == "other" else g.known(family)), family


if __name__ == "__main__":
    import sys
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 20):
        print(sample(rng))
