#include "rpc/policy/token.h"

#include <array>

namespace bulkhead::policy {

namespace {

using Kind = Token::Kind;

constexpr unsigned in(Position position) { return 1U << static_cast<unsigned>(position); }

constexpr unsigned SOURCE = in(Position::SOURCE);
constexpr unsigned TARGET = in(Position::TARGET);
constexpr unsigned REDIRECT = in(Position::REDIRECT);
constexpr unsigned REQUEST = in(Position::REQUEST);

struct Word
{
	std::string_view text;
	Kind kind;
	unsigned positions;
};

// The table of the language: which word may stand where.
constexpr std::array EXACT{
	Word{"*", Kind::EVERY, SOURCE | TARGET},
	Word{"@adminvm", Kind::ADMIN, SOURCE | TARGET | REDIRECT | REQUEST},
	Word{"@anyvm", Kind::ANY, SOURCE | TARGET},
	Word{"@default", Kind::DEFAULT, TARGET | REQUEST},
	Word{"@dispvm", Kind::DISPOSABLE, TARGET | REDIRECT | REQUEST},
};

// A longer prefix stands before the one that it begins with.
constexpr std::array PREFIXES{
	Word{"@dispvm:@tag:", Kind::DISPOSABLE_TAG, SOURCE | TARGET},
	Word{"@dispvm:", Kind::DISPOSABLE_OF, SOURCE | TARGET | REDIRECT | REQUEST},
	Word{"@tag:", Kind::TAG, SOURCE | TARGET},
	Word{"@type:", Kind::TYPE, SOURCE | TARGET},
};

Token_result placed(Word const &word, Token const &token, Position position)
{
	bool const fits = word.positions & in(position);
	return {token, fits ? Token_fault::OK : Token_fault::MISPLACED};
}

} // namespace

Token_result parse_token(std::string_view text, Position position)
{
	if (text.empty()) return {{}, Token_fault::EMPTY};
	for (Word const &word : EXACT)
		if (text == word.text) return placed(word, {word.kind, {}, text}, position);
	if (text.starts_with(UUID_PREFIX))
		return {{Kind::UUID, text.substr(UUID_PREFIX.size()), text}, Token_fault::OK};
	if (text[0] != '@') return {{Kind::NAME, text, text}, Token_fault::OK};
	for (Word const &word : PREFIXES) {
		if (!text.starts_with(word.text)) continue;
		std::string_view const value = text.substr(word.text.size());
		if (value.empty()) return {{}, Token_fault::EMPTY};
		if (value[0] == '@') return {{}, Token_fault::UNKNOWN};
		return placed(word, {word.kind, value, text}, position);
	}
	return {{}, Token_fault::UNKNOWN};
}

} // namespace bulkhead::policy
