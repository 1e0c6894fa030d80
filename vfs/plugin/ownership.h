#pragma once

// The keys by which a manifest says whose a node is.

#include "vfs/plugin.h"

namespace bulkhead::vfs {

inline constexpr Key OWNERSHIP_KEYS[] = {
	{"mode", Kind::TEXT, "permission bits in octal, e.g. \"0640\""},
	{"uid", Kind::NUMBER, "the number of the owner"},
	{"gid", Kind::NUMBER, "the number of the group"},
};

/* What the keys say; `mode_bits` if there is no mode. */
inline Attempt<Ownership, Config_fault> ownership_of(
	Config const &config, Context const &context, uint16_t mode_bits)
{
	Ownership ownership{.mode = mode_bits, .uid = context.uid, .gid = context.gid};
	std::string_view const mode = TRY(config.text("mode"));
	if (!mode.empty()) {
		unsigned bits = 0;
		for (char const c : mode) {
			bits = bits * 8 + static_cast<unsigned>(c - '0');
			if (c < '0' || c > '7' || bits > 07777)
				return Config::fault(
					"mode", "is no set of permission bits", "write an octal number as \"0640\"");
		}
		ownership.mode = static_cast<uint16_t>(bits);
	}
	constexpr uint64_t MOST = 0xffff'fffe;
	ownership.uid = static_cast<uint32_t>(TRY(config.number("uid", ownership.uid, 0, MOST)));
	ownership.gid = static_cast<uint32_t>(TRY(config.number("gid", ownership.gid, 0, MOST)));
	return ownership;
}

} // namespace bulkhead::vfs
