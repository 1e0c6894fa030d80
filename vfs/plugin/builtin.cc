#include "vfs/plugin/builtin.h"

#include "vfs/plugin/char_device/char_device.h"
#include "vfs/plugin/dir/dir.h"
#include "vfs/plugin/inline/inline.h"
#include "vfs/plugin/log/log.h"
#include "vfs/plugin/null/null.h"
#include "vfs/plugin/ram/ram.h"
#include "vfs/plugin/zero/zero.h"

namespace bulkhead::vfs {

namespace {

constinit Char_device_plugin const char_device{};
constinit Dir_plugin const dir{};
constinit Inline_plugin const inline_text{};
constinit Log_plugin const log{};
constinit Null_plugin const null{};
constinit Ram_plugin const ram{};
constinit Zero_plugin const zero{};

constinit Plugin const *const ALL[] = {&char_device, &dir, &inline_text, &log, &null, &ram, &zero};

} // namespace

std::span<Plugin const *const> builtin_plugins() { return ALL; }

} // namespace bulkhead::vfs
