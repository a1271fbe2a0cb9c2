// Reads mails with mailparser and prints what it found, as JSON. In: a JSON list of mails in base64 on standard input; the folder
// with node_modules as the argument. Out: for each mail its header lines, its subject, sender, recipients, and its two parts.
const { createRequire } = require("node:module");
const path = require("node:path");
const { simpleParser } = createRequire(path.join(process.argv[2], "package.json"))("mailparser");

const addresses = (field) => (field ? field.value.map(({ address, name }) => [address, name]) : []);

const read = async (mail) => {
  const found = await simpleParser(Buffer.from(mail, "base64"), { skipTextToHtml: true, skipImageLinks: true });
  return {
    names: found.headerLines.map(({ key }) => key),
    lines: Object.fromEntries(found.headerLines.map(({ key, line }) => [key, line])),
    subject: found.subject,
    from: addresses(found.from),
    to: addresses(found.to),
    cc: addresses(found.cc),
    bcc: addresses(found.bcc),
    messageId: found.messageId,
    date: found.date.toISOString(),
    list: found.headers.get("list"),
    text: found.text,
    html: found.html,
  };
};

const main = async () => {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const mails = JSON.parse(Buffer.concat(chunks).toString());
  process.stdout.write(JSON.stringify(await Promise.all(mails.map(read))));
};

main();
