/** The subpath `qmtp/routing`: where mail for a domain goes, and by which protocol. */

export type { SmtpTls } from "../smtp/options.js";
export { addressLiteral, isBracketed } from "./address-literal.js";
export { type FixedRoute, FixedRoutes, fixedRoute } from "./fixed-routes.js";
export { protocolFor, QMTP_PORT, qmtpPreference, type RouteProtocol, SMTP_PORT } from "./mxps.js";
export { type DnsResolverOptions, dnsResolver, type LookupOptions, type Resolver } from "./resolver.js";
export type { RouterOptions, RouterPorts, RouterTimeouts } from "./router/options.js";
export type { Attempt, RoutedMail, RoutedResult } from "./router/result.js";
export { type DeliverOptions, MailRouter } from "./router.js";
export { type MxRecord, type MxRoutes, type MxRoutesOptions, mxRoutes, type Route } from "./routes.js";
