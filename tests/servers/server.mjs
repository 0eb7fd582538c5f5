// A model server around llama.cpp that speaks the protocols of OpenAI, Anthropic and Ollama, as their documentation describes them.
// Usage: node server.mjs MODEL.gguf PORT [--parallel 2] [--queue -1] [--context 768] [--repeat-penalty 1] [--truncate] [--no-props] [--die-at N MARK]
// --die-at N MARK: at its Nth request it kills itself, once: the file MARK says that it did.
import {createServer} from "node:http";
import {existsSync, writeFileSync} from "node:fs";
import {Engine, Refusal} from "./engine.mjs";
import * as openai from "./openai.mjs";
import * as anthropic from "./anthropic.mjs";
import * as ollama from "./ollama.mjs";

const [model, port, ...flags] = process.argv.slice(2);
const flag = (name, usual) => (flags.includes(name) ? flags[flags.indexOf(name) + 1] : usual);
const engine = new Engine({parallel: +flag("--parallel", 2), queue: +flag("--queue", -1), context: +flag("--context", 768),
  repeatPenalty: +flag("--repeat-penalty", 1), truncate: flags.includes("--truncate")});
const dieAt = +flag("--die-at", 0), mark = flags[flags.indexOf("--die-at") + 2];
let asked = 0;

const health = {"GET /health": () => ({status: "ok"})};
const routes = {...health, ...openai.routes(engine, {props: !flags.includes("--no-props")}), ...anthropic.routes(engine), ...ollama.routes(engine)};

const read = async (request) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  return parts.length ? JSON.parse(Buffer.concat(parts)) : {};
};

// protocolOf words errors and streams as the path's protocol does.
const protocolOf = (path) => (path.startsWith("/api/") ? ollama : path.startsWith("/v1/messages") ? anthropic : openai);

const server = createServer(async (request, response) => {
  const path = request.url.split("?")[0];
  const send = (status, body) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(status, {"Content-Type": typeof body === "string" ? "text/plain" : "application/json", "Content-Length": Buffer.byteLength(text)}).end(text);
  };
  try {
    if (!engine.ready) throw new Refusal("loading", "Loading model");
    const route = routes[`${request.method} ${path}`];
    if (!route) throw new Refusal("missing", `there is no ${request.method} ${path}`);
    if (request.method === "POST" && ++asked === dieAt && !existsSync(mark)) {
      writeFileSync(mark, "");
      process.kill(process.pid, "SIGKILL");
    }
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const event = (data) => { // of a stream, which begins with the first one
      if (!response.headersSent) response.writeHead(200, {"Content-Type": protocolOf(path).streamType});
      response.write(protocolOf(path).event(data));
    };
    const whole = await route(await read(request), gone.signal, event);
    if (response.headersSent) response.end();
    else send(200, whole);
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal("invalid", String(error));
    if (!(error instanceof Refusal)) console.error(error);
    const {status, body} = protocolOf(path).refusal(refusal);
    if (response.headersSent) response.end(protocolOf(path).event(body));
    else send(status, body);
  }
});

server.listen(+port, "127.0.0.1", async () => {
  console.log("loading model 10%");
  await engine.load(model);
  console.log("loaded 100%");
});
process.on("SIGTERM", () => process.exit(0));
