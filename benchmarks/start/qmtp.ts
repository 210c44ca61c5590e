/** What the package costs: this module differs from the empty one by its import. */
import "qmtp";
