/** The options of `qmtp serve`. */
import type { Option } from "../command.js";
import { LOG_SYNTAX } from "../log.js";
import { QUEUE_SYNTAX } from "../queues.js";

/** As they stand in the usage. */
export const SERVE_OPTIONS: Readonly<Record<string, Option>> = {
	host: { value: "ADDRESS", help: "address to listen on", fallback: "127.0.0.1" },
	port: { value: "PORT", help: "port to listen on; 0 picks a free one", fallback: "2209" },
	fd: { value: "N", help: "listen on this descriptor, which is a socket that listens, in place of --port" },
	"smtp-port": {
		value: "PORT",
		help: "take mail by SMTP as well, on this port; needs the package smtp-server",
	},
	"smtp-fd": { value: "N", help: "the same, on a descriptor in place of a port" },
	"tls-cert": {
		value: "FILE",
		help: "speak TLS as well, on a port of its own, with this certificate and its chain",
	},
	"tls-key": { value: "FILE", help: "its private key; both in PEM" },
	"tls-ca": { value: "FILE", help: "ask clients for certificates of the authorities in this file" },
	"tls-port": { value: "PORT", help: "port for TLS; 0 picks a free one", fallback: "6209" },
	"tls-fd": { value: "N", help: "listen for TLS on this descriptor in place of a port" },
	queue: { value: "QUEUE", help: `where mail goes: ${QUEUE_SYNTAX}`, fallback: "maildir:./mail" },
	relay: {
		value: "NEXT",
		help: "deliver what a spool or RabbitMQ keeps: mx | qmtp://HOST:PORT | smtp://HOST:PORT; needs the package nodemailer",
	},
	hostname: {
		value: "NAME",
		help: "this host's name in Received fields",
		fallback: "control/me or the system's",
	},
	accept: {
		value: "DOMAIN",
		multiple: true,
		help: "take mail for this domain from anybody; .DOMAIN: for all below it",
	},
	"relay-from": {
		value: "CIDR",
		multiple: true,
		help: "take mail for any domain from these addresses",
		fallback: "127.0.0.0/8 and ::1; none with --rules",
	},
	"relay-cert": {
		value: "NAME",
		multiple: true,
		help: "take mail for any domain from clients with this certificate: a name that --tls-ca vouches for, or its SHA-256 fingerprint",
	},
	rules: { value: "FILE", help: "who may connect and relay: tcprules, as text or as the .cdb made of it" },
	control: { value: "DIR", help: "qmail's control files: me, databytes, rcpthosts, morercpthosts.cdb" },
	proxy: {
		value: "CIDR",
		multiple: true,
		help: "connections from these addresses start with a PROXY header, for QMTP with TLS and without",
	},
	"max-message-bytes": { value: "N", help: "largest message body", fallback: "104857600" },
	"max-connections": {
		value: "N",
		help: "connections at once, with TLS and without together; the SMTP port has as many of its own",
		fallback: "61",
	},
	"max-connections-per-address": {
		value: "N",
		help: "of these, from one IPv4 address or one IPv6 network of 64 bits; not for SMTP",
		fallback: "any number",
	},
	"max-waiting": {
		value: "N",
		help: "connections beyond --max-connections that wait for a place; not for SMTP",
		fallback: "0",
	},
	"min-speed": {
		value: "N",
		help: "bytes a second that a client must send at least, averaged over a minute; 0: any; not for SMTP",
		fallback: "1024",
	},
	"max-memory": {
		value: "BYTES",
		help: "memory for mail under way, of each port of each worker; beyond it clients wait; not for SMTP",
		fallback: "67108864",
	},
	"close-timeout": {
		value: "SECONDS",
		help: "how long connections get to finish when the server is to end",
		fallback: "30",
	},
	workers: { value: "N", help: "serve in so many processes, which share the ports and --max-connections" },
	user: { value: "NAME", help: "become this user once the port is bound; for root" },
	metrics: {
		value: "[HOST:]PORT",
		help: "tell Prometheus metrics at http://HOST:PORT/metrics; needs the package prom-client",
	},
	log: { value: "FORMAT", help: `what the log looks like: ${LOG_SYNTAX}`, fallback: "text" },
};

/** As they stand below the options. */
export const SERVE_NOTES: readonly string[] = [
	"Prints `listening on HOST:PORT` when it is ready; the log goes to stderr. Rules and control files are read again",
	"when they change.",
	"SIGHUP reads the files for TLS again, for new connections.",
	"SIGTERM and SIGINT end it when the packages under way are answered; a second one ends it at once.",
	"The password of a broker may stand in QMTP_AMQP_PASSWORD, and not in the command line, which anybody may read.",
	"A supervisor may hand it its sockets as systemd does, by LISTEN_FDS: named qmtp, qmtps and smtp, or in this order.",
];
