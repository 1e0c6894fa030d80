#pragma once

// The parent of a broker: so small that nothing can be wrong with it. Holds the descriptors of the
// domains, starts the broker again if it was killed, and hands them to the new one (notify.h), so
// that domains and their calls go on. Tells systemd what the broker says.

namespace bulkhead::broker {

/*
 * Runs this program again as the broker, until that ends by itself; the exit code. The descriptor
 * is the first broker's alone; -1: there is none. A broker that has been ready once and then fails
 * is started again, too, and as long as it is: its domains have done nothing wrong.
 */
int keep(char **arguments, int ready_fd);

} // namespace bulkhead::broker
