// Succeeds if llama.cpp is installed and runs on this machine.
import {getLlama} from "node-llama-cpp";

await getLlama({gpu: false, build: "never", skipDownload: true});
process.exit(0);
