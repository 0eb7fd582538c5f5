// Loaded before a program that knows no endpoint but Amazon's: every TLS connection to amazonaws.com goes to the proxy at AMAZON instead, as
// a name server or a file of hosts would have it. Where the program listens is printed.
const net = require("node:net");
const tls = require("node:tls");

const [host, port] = process.env.AMAZON.split(":");
const connect = tls.connect;
tls.connect = (options, ...rest) =>
  connect(options.host?.endsWith(".amazonaws.com") ? { ...options, host, port: Number(port) } : options, ...rest);

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function () {
  this.once("listening", () => console.log(`listens on ${this.address().port}`));
  return listen.call(this, 0, "127.0.0.1");
};
