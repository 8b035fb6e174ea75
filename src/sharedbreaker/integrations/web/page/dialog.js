// The dialog in which an operator says why. The token is kept in memory, and sent in a header alone.

import { say, show } from "./elements.js";

const TOKEN_HEADER = "X-Sharedbreaker-Token";
const WORDS = {
  force_open: ["Hold open", "Every worker rejects calls, until the time is up or somebody closes it."],
  force_close: ["Close", "Calls pass again, and the breaker decides by itself."],
  disable: ["Disable", "Every call passes whatever fails, until somebody enables the breaker."],
  observe: ["Observe", "The breaker decides and counts, and rejects nothing, until somebody enforces it."],
  enforce: ["Enforce", "What the breaker decides is done again."],
  enable: ["Enable", "The breaker decides by itself again."],
};

const part = (name) => document.getElementById(`act-${name}`);

export class ActDialog {
  constructor(done) {
    this.dialog = document.getElementById("act");
    this.token = "";
    part("cancel").addEventListener("click", () => this.dialog.close());
    part("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(done);
    });
    this.dialog.addEventListener("close", () => this.from?.focus());
  }

  open(circuit, act, from) {
    Object.assign(this, { circuit, act, from });
    const [title, says] = WORDS[act];
    say(part("title"), `${title} ${circuit.name}`);
    say(part("says"), says);
    say(part("do"), title);
    say(part("error"), "");
    show(part("hold"), act === "force_open");
    part("reason").value = "";
    part("seconds").value = "";
    part("token").value = this.token;
    this.dialog.showModal();
    part("reason").focus();
  }

  async send(done) {
    const seconds = part("seconds").value;
    const document = { name: this.circuit.name, act: this.act, reason: part("reason").value, who: part("who").value };
    if (this.act === "force_open" && seconds) document.seconds = Number(seconds);
    part("do").disabled = true;
    say(part("error"), "");
    try {
      const response = await fetch("../api/circuit-breakers/act", {
        method: "POST",
        headers: { "Content-Type": "application/json", [TOKEN_HEADER]: part("token").value },
        body: JSON.stringify(document),
      });
      if (!response.ok) throw new Error((await response.json()).error);
      this.token = part("token").value;
      this.dialog.close();
      done();
    } catch (error) {
      say(part("error"), error.message || "no answer");
    } finally {
      part("do").disabled = false;
    }
  }
}
