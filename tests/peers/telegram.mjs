// The Bot API of the package telegram-test-api: `node telegram.mjs PORT TOKEN`. Prints each message of the bot as a line
// of JSON; a client of it says /status once.
import { createRequire } from "node:module";

const TelegramServer = createRequire(process.env.NODE_PATH + "/")("telegram-test-api");
const [port, token] = process.argv.slice(2);
const server = new TelegramServer({ port: Number(port), host: "127.0.0.1" });
server.on("AddedBotMessage", () => console.log(JSON.stringify(server.storage.botMessages.at(-1).message)));
await server.start();
const client = server.getClient(token, { userId: 4711, chatId: 4711, firstName: "Ada" });
const command = client.makeCommand("/status");
command.date = Math.floor(Date.now() / 1000); // the package writes milliseconds, Telegram seconds
await client.sendCommand(command);
