#pragma once

// The words that a rule has for domains: `work`, `uuid:…`, `@anyvm`, `@tag:web`,
// `@dispvm:@tag:web`.

#include "rpc/policy/fault.h"

namespace bulkhead::policy {

/* dom0's, whatever it is called. */
inline constexpr std::string_view ADMIN_UUID = "uuid:00000000-0000-0000-0000-000000000000";
inline constexpr std::string_view ADMIN_NAME = "dom0";
inline constexpr std::string_view UUID_PREFIX = "uuid:";
inline constexpr std::string_view DISPVM_PREFIX = "@dispvm:";

struct Token
{
	enum class Kind : uint8_t {
		NAME, // value: the name
		UUID, // value: "uuid:…"
		ADMIN, // @adminvm
		EVERY, // *: dom0, too
		ANY, // @anyvm: without dom0
		TYPE, // value: the type
		TAG, // value: the tag
		DISPOSABLE, // @dispvm: of the source's default template
		DISPOSABLE_OF, // @dispvm:NAME; value: the name, or "uuid:…"
		DISPOSABLE_TAG, // @dispvm:@tag:T; value: the tag
		DEFAULT, // @default: the caller has named none, or none that exists
	};

	Kind kind = Kind::DEFAULT;
	std::string_view value{};
	std::string_view text{}; // as written

	/* dom0 by its name or UUID, or @adminvm. */
	bool admin() const { return kind == Kind::ADMIN || text == ADMIN_NAME || text == ADMIN_UUID; }
};

/* Where a word stands decides which words there are. One bit each. */
enum Position : uint8_t {
	SOURCE = 1,
	TARGET = 2,
	REDIRECT = 4, // target= and default_target=
	REQUEST = 8,
};

/* The token's views point into the text. Else: what is wrong with it where it stands. */
Attempt<Token, Fault::Kind> parse_token(std::string_view text, Position position);

} // namespace bulkhead::policy
