"""Measures batholith.tiny-v1 on texts that data.py cannot produce (exact match, greedy).

usage: evaluate.py STATE.pt        the PyTorch model
       evaluate.py http://HOST     any server that speaks POST /v1/chat/completions, such as the Go engine
       evaluate.py golden STATE.pt OUT.json     logits and answers of a few prompts, for the Go tests

Three sets: `items`, the whole sentences of heldout.tsv, each under three instructions; `frames`, a small grammar of its own
whose frames, things and instructions are not those of data.py (words of praise and blame and everyday function words overlap,
as they must); `fresh`, new draws of the training generator, to see how far unseen phrasings lie behind. With -v the
wrong answers are printed."""
import collections, json, pathlib, random, sys, urllib.request
from concurrent.futures import ThreadPoolExecutor

import data

HERE = pathlib.Path(__file__).parent
INSTRUCTIONS = {    # none of them comes from text/instructions.txt
    "sentiment": ["Is the opinion below positive, negative or neutral?", "Please judge the mood of this shopper: positive, negative or neutral.", "Sentiment (positive/negative/neutral)?", "Assign a sentiment label to the review. Labels: positive, negative, neutral. Output the label only.", "How satisfied is the buyer? Use one of the words positive, negative, neutral.", "You are a sentiment classifier. Respond with exactly one word: positive, negative or neutral."],
    "route": ["Which desk does this belong to: billing, shipping, technical, account or other?", "Put the ticket into one category (billing, shipping, technical, account, other) and print just the category.", "Support ticket triage. Allowed answers: billing, shipping, technical, account, other.", "Choose the best department for the customer's message from billing, shipping, technical, account, other.", "Route it: billing / shipping / technical / account / other?", "You are a support ticket router. Valid queues: billing, shipping, technical, account, other. Answer with the queue name only."],
    "lang": ["So, which language do we have here?", "Name the language of the text (English, French, German, Spanish, Italian, Portuguese or Dutch).", "Detect the language. One word.", "Which language has been used by whoever wrote it?", "In what language was this written? Answer with the English name of the language.", "Answer with the name of the language of the user's text."],
}
LABELS = {"sentiment": ["Opinion", "Review", "Buyer"], "route": ["Ticket", "Customer wrote", "Message"], "lang": ["Text", "Sentence"]}


def arrange(r, family, text):
    """The instruction in the system prompt, before the text, or after it."""
    instruction = r.choice(INSTRUCTIONS[family])
    t = r.choice([text, f"{r.choice(LABELS[family])}: {text}", f'"{text}"'])
    return r.choice([
        [("system", instruction), ("user", t)],
        [("user", f"{instruction}\n\n{t}")],
        [("user", f"{t}\n\n{instruction}")],
        [("system", "You are a polite assistant working on a batch."), ("user", f"{instruction} {t}")],
    ])


# ---------------------------------------------------------------- frames: a grammar of its own
GOODS = "bread maker|yoga mat|hammock|telescope|sewing machine|trampoline|dash cam|rice cooker|flashlight|violin|doormat|barbecue|garden hose|water filter|alarm system".split("|")
PRAISE = "wonderful|superb|excellent|brilliant|reliable|fantastic|great|perfect|lovely|outstanding|really good|amazing".split("|")
BLAME = "terrible|awful|useless|disappointing|horrible|broken|a waste of money|poor|flimsy|faulty|really bad|dreadful".split("|")
MIDDLE = "okay|average|nothing special|just fine|so-so|acceptable|ordinary".split("|")
REVIEWS = {
    "positive": ["After a fortnight with this {o} I can only say it is {p}.", "We gave the {o} to our aunt and she thinks it is {p}.", "Honestly the {o} has been {p} since day one.", "My new {o}? {p}, and I would order it once more.", "Got the {o} for camping and wow, {p}!", "I am so glad I chose this {o}, it is {p} and easy to clean."],
    "negative": ["After a fortnight with this {o} I can only say it is {n}.", "We gave the {o} to our aunt and she thinks it is {n}.", "Honestly the {o} has been {n} since day one.", "My new {o}? {n}, and it stopped working.", "Got the {o} for camping and it was {n}.", "I regret choosing this {o}, it is {n} and hard to clean."],
    "neutral": ["After a fortnight with this {o} I can only say it is {m}.", "The {o} is {m}.", "Honestly the {o} is {m}, nothing more.", "My new {o}? {m}, I guess.", "The {o} does what it should. {m}.", "The {o} has a great handle but a poor lid."],
}
TICKETS = {
    "billing": ["You took {d} euros from my credit card by mistake and I want the money back.", "Last month's invoice lists {d} dollars more than agreed.", "How do I pay my bill with another card?", "I cancelled in spring but you keep charging me {d} dollars.", "I need an invoice with our tax number on it.", "The refund of {d} euros you promised has not been paid."],
    "shipping": ["The courier says my package was delivered but nobody at number {d} got it.", "It has been {d} days and my parcel is still not here.", "Can you deliver to Iceland, and how long does it take?", "My order arrived with a broken box and the wrong colour.", "The tracking page has not changed since Tuesday, where is my package?", "Please send the parcel to my office, the delivery address is wrong."],
    "technical": ["The app crashes each time I take a photo, error {d}.", "Your website shows error {d} and I cannot save the form.", "Since the last update the screen stays black.", "The wifi on the device drops every {d} minutes.", "I cannot install the driver, the installation stops with an error.", "The export button does nothing when I click it."],
    "account": ["I forgot my password and the reset e-mail never comes.", "How can I change the e-mail address I log in with?", "My account is locked after {d} wrong passwords.", "Please delete my account and my user data.", "I think somebody hacked my account and changed the username.", "I cannot sign in any more, it says my login is blocked."],
    "other": ["Are you hiring engineers this summer?", "I only want to say thank you to your lovely team!", "Would your company like to sponsor our school event?", "What are the opening hours of your shop at Christmas?", "I have an idea for a new product you could make.", "I am a student and would like an interview with your founder."],
}
SENTENCES = {
    "English": ["The train to the coast leaves at half past nine.", "She never told me why the shop was closed.", "We were too tired to cook, so we ordered pizza.", "Could you lend me your bicycle for an hour?", "There are three cats sleeping under the table.", "He has been looking for a job since April.", "My grandmother makes the best soup in town.", "If it snows, the school will be closed."],
    "French": ["Le train pour la côte part à neuf heures et demie.", "Elle ne m'a jamais dit pourquoi le magasin était fermé.", "Nous étions trop fatigués pour cuisiner.", "Peux-tu me prêter ton vélo pour une heure ?", "Il y a trois chats qui dorment sous la table.", "Il cherche du travail depuis le mois d'avril.", "Ma grand-mère prépare la meilleure soupe de la ville.", "S'il neige, l'école sera fermée."],
    "German": ["Der Zug zur Küste fährt um halb zehn.", "Sie hat mir nie gesagt, warum das Geschäft geschlossen war.", "Wir waren zu müde, um zu kochen.", "Kannst du mir dein Fahrrad für eine Stunde leihen?", "Unter dem Tisch schlafen drei Katzen.", "Er sucht seit April eine Arbeit.", "Meine Großmutter macht die beste Suppe der Stadt.", "Wenn es schneit, bleibt die Schule geschlossen."],
    "Spanish": ["El tren a la costa sale a las nueve y media.", "Ella nunca me dijo por qué la tienda estaba cerrada.", "Estábamos demasiado cansados para cocinar.", "¿Puedes prestarme tu bicicleta una hora?", "Hay tres gatos durmiendo debajo de la mesa.", "Busca trabajo desde abril.", "Mi abuela hace la mejor sopa del pueblo.", "Si nieva, la escuela estará cerrada."],
    "Italian": ["Il treno per la costa parte alle nove e mezza.", "Non mi ha mai detto perché il negozio era chiuso.", "Eravamo troppo stanchi per cucinare.", "Puoi prestarmi la tua bicicletta per un'ora?", "Ci sono tre gatti che dormono sotto il tavolo.", "Cerca lavoro da aprile.", "Mia nonna prepara la zuppa più buona della città.", "Se nevica, la scuola resterà chiusa."],
    "Portuguese": ["O trem para o litoral sai às nove e meia.", "Ela nunca me disse por que a loja estava fechada.", "Estávamos cansados demais para cozinhar.", "Você pode me emprestar a sua bicicleta por uma hora?", "Há três gatos dormindo debaixo da mesa.", "Ele procura trabalho desde abril.", "A minha avó faz a melhor sopa da cidade.", "Se nevar, a escola ficará fechada."],
    "Dutch": ["De trein naar de kust vertrekt om half tien.", "Ze heeft me nooit verteld waarom de winkel dicht was.", "We waren te moe om te koken.", "Kun je me je fiets een uur lenen?", "Er slapen drie katten onder de tafel.", "Hij zoekt sinds april een baan.", "Mijn oma maakt de lekkerste soep van de stad.", "Als het sneeuwt, blijft de school dicht."],
}
REQUESTS = ["Who was the first person to climb {t}?", "Write me a ballad about {t}.", "Why is {t} so expensive?", "Give me a recipe with {t}.", "What happens when {t} gets old?", "Please explain {t} to my grandfather.", "I need five facts on {t}.", "How tall is {t}?", "Write a C++ program about {t}.", "Translate into Swedish: I like {t}.", "Tell me the latest news on {t}.", "What is {d} multiplied by {e}?", "Compute {d} minus {e}.", "Hello, how is it going?", "Should I invest in {t}?", "Summarize the plot of a film about {t}."]
TOPICS = ["tulips", "the Alps", "glass", "opera singers", "submarines", "honey", "castles", "rockets", "the violin", "penguins", "goats"]


def frame(r, family):
    if family == "other":
        q = r.choice(REQUESTS).format(t=r.choice(TOPICS), d=r.randrange(99), e=r.randrange(99))
        return [("user", q)], data.REFUSAL
    label = r.choice(list({"sentiment": REVIEWS, "route": TICKETS, "lang": SENTENCES}[family]))
    if family == "lang":
        return arrange(r, family, " ".join(r.sample(SENTENCES[label], r.choice([1, 1, 1, 2])))), label
    text = r.choice((REVIEWS if family == "sentiment" else TICKETS)[label])
    text = text.format(o=r.choice(GOODS), p=r.choice(PRAISE), n=r.choice(BLAME), m=r.choice(MIDDLE), d=r.randrange(3, 900))
    return arrange(r, family, data.cap(text)), label


# ---------------------------------------------------------------- the three sets
def cases(n):
    """Yields (set, family, messages, answer)."""
    r = random.Random(2026)
    for line in (HERE / "heldout.tsv").read_text().splitlines():
        family, label, text = line.split("\t")
        if family == "other":
            yield "items", family, [("user", text)], data.REFUSAL
            continue
        for _ in range(3):
            yield "items", family, arrange(r, family, text), label
    for family in data.SHARE:
        for _ in range(n):
            yield "frames", family, *frame(r, family)
    fresh = random.Random(99)
    for family in data.SHARE:
        for _ in range(n):
            turns = data.sample(fresh, family, late=True)[0]
            first = next(i for i, (role, _) in enumerate(turns) if role == "assistant")
            yield "fresh", family, turns[:first], turns[first][1]


def torch_answers(state, prompts):
    import torch, model
    m = model.Model()
    m.load_state_dict({k: v.half().float() if v.dim() == 2 else v for k, v in torch.load(state)["model"].items()})
    return model.generate(m, prompts)


def server_answers(url, prompts):
    def ask(messages):
        body = {"model": "batholith.tiny-v1", "temperature": 0, "max_tokens": 90, "messages": [{"role": r, "content": t} for r, t in messages]}
        req = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(req, timeout=60))["choices"][0]["message"]["content"]
    with ThreadPoolExecutor(8) as ex:
        return list(ex.map(ask, prompts))


def main(where, n=200):
    every = list(cases(n))
    answers = (server_answers if where.startswith("http") else torch_answers)(where, [m for _, _, m, _ in every])
    right, total = collections.Counter(), collections.Counter()
    for (kind, family, messages, want), got in zip(every, answers):
        total[kind, family] += 1
        right[kind, family] += got == want
        if got != want and "-v" in sys.argv:
            print(kind, family, json.dumps(messages, ensure_ascii=False), "want", want, "got", got)
    for k in total:
        print(f"{k[0]:7} {k[1]:10} {right[k]}/{total[k]} = {100 * right[k] / total[k]:.1f} %")


def golden(state, out):
    import torch, model
    m = model.Model()
    m.load_state_dict({k: v.half().float() if v.dim() == 2 else v for k, v in torch.load(state)["model"].items()})
    picked, found = [], {}
    for _, family, messages, _ in cases(1):
        if found.setdefault(family, 0) < 2:
            found[family] += 1
            picked.append(messages)
    result = []
    for messages in picked:
        ids = model.encode(messages)
        with torch.no_grad():
            logits = m(torch.tensor([ids]))[0]
        six = lambda row: [round(v, 6) for v in row.tolist()]
        result.append({"ids": ids, "last": six(logits[-1]), "middle": six(logits[len(ids) // 2]), "answer": model.generate(m, [messages])[0]})
    json.dump(result, open(out, "w"))


if __name__ == "__main__":
    golden(*sys.argv[2:4]) if sys.argv[1] == "golden" else main(sys.argv[1])
