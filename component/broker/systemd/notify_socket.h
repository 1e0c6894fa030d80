#pragma once

// Where systemd hears how a service is (sd_notify(3)): a message holds lines as "READY=1".

#include "platform/linux/descriptor.h"

namespace bulkhead::broker {

/* Connected; none if systemd hasn't started this program, or doesn't want to hear. */
linux_host::Owned_fd notify_socket();

} // namespace bulkhead::broker
