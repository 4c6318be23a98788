// One typed conversation of the official client:  node talk.mjs SESSION QUESTION [QUESTION ...]
// SESSION is what the client's startSession is given, as JSON, and stay_s: how long to wait, after
// the last answer, for the agent to hang up. Each question is typed when the agent has answered the
// one before. Everything that happens is a line of JSON on standard output.

import WebSocket from "ws";

const tell = (event, fields) => console.log(JSON.stringify({ event, ...fields }));

// Node 20 has no WebSocket; this one insists on the subprotocol that it offers, as a browser does.
globalThis.WebSocket = class extends WebSocket {
  constructor(url, offered) {
    // One event a tick, as in a browser: the client misses what comes in the metadata's own tick.
    super(url, offered, { allowSynchronousEvents: false });
    this.addEventListener("open", () => tell("open", { offered, protocol: this.protocol }));
    this.addEventListener("close", ({ code, reason }) => tell("close", { code, reason }));
  }
};

const { Conversation } = await import("@elevenlabs/client");

const [options, ...questions] = process.argv.slice(2);
const { stay_s, ...session } = JSON.parse(options);
setTimeout(() => process.exit(3), 20_000).unref();

const answers = [];
let answered = () => {};
let ended = () => {};
const end = new Promise((resolve) => (ended = resolve));
const nextAnswer = async () => {
  if (answers.length === 0) await new Promise((resolve) => (answered = resolve));
  return answers.shift();
};

try {
  const conversation = await Conversation.startSession({
    ...session,
    connectionType: "websocket",
    textOnly: true,
    onConnect: ({ conversationId }) => tell("connect", { conversationId }),
    onIncomingEvent: (frame) => tell("frame", { frame }),
    onMessage: ({ role, message }) => {
      tell("message", { role, message });
      if (role === "agent") answered(answers.push(message));
    },
    onError: (message, context) => tell("error", { message, context }),
    onDisconnect: (details) => ended(tell("disconnect", { details })),
  });
  await nextAnswer(); // the greeting
  for (const question of questions) {
    conversation.sendUserMessage(question);
    await nextAnswer();
  }
  const stayed = new Promise((resolve) => setTimeout(resolve, stay_s * 1000).unref());
  await Promise.race([end, stayed]);
  await conversation.endSession();
} catch ({ message, closeCode, closeReason }) {
  tell("refused", { message, closeCode, closeReason });
}
