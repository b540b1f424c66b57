#include "deskhand/tickets/redact_names.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "deskhand/tickets/redact_lists.h"

namespace deskhand {
namespace {

constexpr std::size_t kMostWords = 4;    // of one name
constexpr std::size_t kSignature = 250;  // bytes: name, place, telephone behind a sign-off

// What lists and tables say of a word.
enum Kinds : unsigned {
  kFirst = 1u << 0,  // a first name, and nothing else
  kAmbiguousFirst = 1u << 1,
  kShortFirst = 1u << 2,
  kSurname = 1u << 3,
  kAmbiguousSurname = 1u << 4,
  kStop = 1u << 5,
  kFirm = 1u << 6,
  kListed = 1u << 7,  // of the desk's own people
  kBrand = 1u << 8,   // begins the name of a firm or product
  kTitle = 1u << 9,   // the word may begin such a phrase
  kGreeting = 1u << 10,
  kSignOff = 1u << 11,
  kIntroduction = 1u << 12,
  kWeakIntroduction = 1u << 13,
  kLabel = 1u << 14,
  kCalled = 1u << 15,
  kPhrases = kTitle | kGreeting | kSignOff | kIntroduction | kWeakIntroduction | kLabel | kCalled
};

// The first words of the phrases below: only at these are the phrases looked for.
constexpr std::string_view kTitleWords =
    "mr mrs ms miss mx dr prof fr hr hrn herr herrn frau fräulein mme mlle monsieur madame mademoiselle sig sr sra señor señora signor "
    "signora mevrouw dhr "
    "mevr kollege kollegen kollegin familie m";
constexpr std::string_view kGreetingWords =
    "hi hello hey hiya dear dears good morning hallo moin servus grüß gruess gruß grüss guten liebe lieber liebes sehr werte werter "
    "bonjour bonsoir salut coucou "
    "cher chère hola ciao buongiorno gentile egregio beste hoi dag cześć olá kære hej";
constexpr std::string_view kSignOffWords =
    "with kind kindest best warm warmest many regards all yours sincerely cheers ta thanks thank thx rgds kr br mit freundliche viele "
    "liebe beste schöne "
    "herzliche grüße gruesse grüsse gruß gruss grueße mfg vg lg danke vielen dank merci bien cordialement sincères meilleures salutations "
    "amicalement bonne a saludos "
    "gracias atentamente ciao cordiali grazie met groeten gez i p signed hochachtungsvoll";
constexpr std::string_view kIntroductionWords = "my mein ich hier je mi me";
constexpr std::string_view kWeakIntroductionWords = "this it c'est ich i i'm je ici hier";
constexpr std::string_view kLabelWords =
    "name nom nome contact kontakt ansprechpartner ansprechpartnerin user affected benutzer benutzerin nutzer nutzerin utilisateur "
    "utilisatrice employee "
    "mitarbeiter mitarbeiterin caller anrufer anruferin reporter reported requester requestor requested assignee assigned owner manager "
    "approver approved genehmigt "
    "gemeldet melder melderin demandeur interlocuteur absender sender sent von from to an de cc recipient empfänger empfängerin empfaenger "
    "attn à consignee "
    "signed karteninhaber karteninhaberin card cardholder inhaber inhaberin titulaire patient patientin bearbeiter sachbearbeiter "
    "sachbearbeiterin ship deliver z ask on the my "
    "driver visitor";
constexpr std::string_view kCalledWords = "spoke talked reach erreichen according laut";

std::vector<std::string> lines_in(std::string_view list) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < list.size();) {
    const auto end = std::min(list.find('\n', at), list.size());
    if (end > at) lines.emplace_back(list.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

bool is_in(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_particle(std::string_view folded) {
  return is_in(folded, {"von", "vom", "van", "de", "del", "della", "der", "den", "di",  "da", "dos",
                        "du",  "la",  "le",  "zu", "zur", "ter",   "ten", "bin", "ibn", "al", "el"});
}

// Behind these a first name that is a word besides is a name; so is one before a verb that people do.
bool speaks_of_person(std::string_view folded) {
  return is_in(folded, {"by",       "with", "ask",     "asked", "tell",  "told", "colleague",   "kollege",       "kollegen",
                        "kollegin", "mit",  "manager", "azubi", "spoke", "user", "mitarbeiter", "mitarbeiterin", "avec",
                        "collègue", "her",  "his",     "from"});
}
bool is_done_by_people(std::string_view folded) {
  return is_in(
      folded, {"said", "says",  "called", "rang",   "phoned",  "told",     "asked", "asks", "wrote",     "thinks", "mentioned", "confirmed",
               "sagt", "sagte", "meint",  "meinte", "schrieb", "schreibt", "rief",  "dit",  "bestätigt", "uses",   "left"});
}
// First names that in small letters are words.
bool is_word_in_small(std::string_view folded) {
  return is_in(folded,
               {"line",     "marine", "marina", "mine",   "mats",   "dean",     "robin",    "daisy",   "holly",    "hazel",     "heather",
                "olive",    "olives", "lily",   "molly",  "polly",  "constant", "clement",  "clément", "desire",   "fanny",     "faye",
                "gene",     "gill",   "josh",   "jean",   "jenny",  "jessie",   "jill",     "kelly",   "ross",     "roger",     "ruth",
                "savannah", "shell",  "tara",   "tina",   "tanguy", "willie",   "angel",    "angela",  "valentin", "valentine", "maxime",
                "bella",    "berta",  "bert",   "bianca", "cindy",  "felicity", "prudence", "pierre",  "olivier",  "florian",   "germain",
                "ilse",     "jana",   "kiran",  "amal",   "amar",   "asha",     "hana",     "noor",    "malik",    "said",      "sima",
                "steve",    "urs",    "usha",   "mila",   "odette", "barry",    "bruno",    "colin",   "doris",    "drew",      "gabriel",
                "martin",   "victor", "vera",   "viola",  "wanda",  "wren",     "stig",     "roar",    "rune",     "leif",      "tove"});
}
// "Bäckerei Müller" is a firm.
bool comes_before_firm(std::string_view folded) {
  return is_in(folded, {"firma",     "fa",     "bäckerei",       "metzgerei", "autohaus",  "apotheke", "kanzlei",   "praxis",
                        "spedition", "hotel",  "weingut",        "gebrüder",  "möbelhaus", "brauerei", "druckerei", "elektro",
                        "haus",      "maison", "établissements", "ets",       "société",   "drogerie", "schloss"});
}

#define DESKHAND_TITLES \
  R"((?:(?-i:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Fr|Hr|Hrn|Herrn?|Frau|Fräulein|Mme|Mlle|Monsieur|Madame|Mademoiselle|Sig|Sra?|Señora?|Signora?|Mevrouw|Dhr|Mevr|Kolleg(?:e|en|in)|Familie|HERRN?|FRAU|MR|MRS|MME)\.?|(?:mr|mrs|herrn?|frau|mme)\.?|(?-i:M\.))[ ]+(?:(?:Dr|Prof|Dipl\.-Ing|Ing|med|phil|Mag)\.?[ ]+)*)"

constexpr std::string_view kTitlePhrase = R"((?<![\p{L}\p{N}.]))" DESKHAND_TITLES;
constexpr std::string_view kGreetingPhrase =
    R"((?:hi|hello|hey|hiya|dears?|good (?:morning|afternoon|evening|day)|morning|hallo|moin(?: moin)?|servus|gr(?:ü|ue)(?:ß|ss) (?:gott|dich)|guten (?:tag|morgen|abend)|liebe[rs]?|sehr geehrte[rs]?|werte[rs]?|bonjour|bonsoir|salut|coucou|ch(?:er|ère)|hola|ciao|buongiorno|gentile|egregio|beste|hoi|dag|cześć|olá|kære|hej)\b(?:[ ]*,)?[ ]+(?:again[ ,]+)?(?:)" DESKHAND_TITLES
    ")?";
constexpr std::string_view kSignOffPhrase =
    R"((?<![^\s.!?,;>|)])(?:(?:with )?(?:kind|kindest|best|warm|warmest|many)?[ ]?regards|best wishes|all the best|yours (?:sincerely|faithfully|truly)|sincerely|best|cheers|ta|(?:many |kind )?thanks(?: (?:and (?:kind |best )?regards|in advance|again|all|a lot|so much|very much))?|thank you(?: (?:so much|very much|in advance))?|thx|rgds|kr|br|mit (?:freundlichen|besten|herzlichen|sonnigen) gr(?:ü|ue)(?:ß|ss)en|(?:freundliche|viele|liebe|beste|schöne|herzliche)[ ]gr(?:ü|ue)(?:ß|ss)e|gr(?:ü|ue)(?:ß|ss)e?|gru(?:ß|ss)(?: aus de[rm] [\p{L}-]+)?|mfg|vg|lg|danke(?: (?:euch|dir|ihnen|schön|sehr|und gru(?:ß|ss)))?|vielen dank|dank|merci(?: (?:d'avance|beaucoup|bien))?|(?:bien )?cordialement|bien à vous|(?:sincères|meilleures) salutations|salutations|amicalement|bonne journée|a\+|saludos(?: cordiales)?|gracias|atentamente|ciao|cordiali saluti|grazie|met vriendelijke groeten?|groeten|gez\.?|i\.[ ]?[av]\.|p\.p\.|signed|hochachtungsvoll)[ \t]*[,.!;:–-]*[ \t]*\n{0,3}[ \t>]*(?:(?:i\.[ ]?[av]\.|gez\.|ppa\.?)[ ]+)?(?:)" DESKHAND_TITLES
    ")?";
constexpr std::string_view kDashPhrase = R"((?:^--[ ]?\n|\n[ \t]*(?:[-–—~/][ ]?))(?=\p{L}))";
constexpr std::string_view kIntroductionPhrase =
    R"(\b(?:my name(?:'s| is)|mein name ist|ich hei(?:ß|ss)e|hier spricht|je m['’]appelle|je me nomme|mi chiamo|me llamo)[ ]+)";
constexpr std::string_view kWeakIntroductionPhrase =
    R"(\b(?:this is|it['’]s|it is|c['’]est|ich bin|i am|i['’]m|je suis|ici|hier ist|hier schreibt)[ ]+(?:die |der )?)";
constexpr std::string_view kLabelPhrase =
    R"((?<![\p{L}\p{N}-])(?:(?:name|nom|nome|contact(?: person| name)?|contact there|kontakt|ansprechpartner(?:in)?|(?:affected )?user|benutzer(?:in)?|nutzer(?:in)?|utilisat(?:eur|rice)|employee|mitarbeiter(?:in)?|caller|anrufer(?:in)?|report(?:er|ed by)|request(?:er|or|ed by)|assignee|assigned to|owner|manager|approver|approved by|genehmigt von|gemeldet von|melder(?:in)?|demandeur|interlocuteur|absender|sender|sent by|von|from|to|an|de|cc|recipient|empf(?:ä|ae)nger(?:in)?|attn|à l['’]attention de|consignee|signed by|karteninhaber(?:in)?|card ?holder|inhaber(?:in)?|titulaire|patient(?:in)?|(?:sach)?bearbeiter(?:in)?|ship(?: it)? to|deliver to)[ ]?[:=][ ]*|(?:contact|approved by|assigned to|signed by|z\.[ ]?hd\.|à l['’]attention de|attn|ask for|consignee|karteninhaber(?:in)?|inhaber(?:in)?|titulaire|on behalf of|empf(?:ä|ae)nger(?:in)?|the record of|my colleague|mitarbeiterin|driver|visitor)[ ]+)(?:)" DESKHAND_TITLES
    ")?[\"“«]?";
constexpr std::string_view kCalledPhrase = R"(\b(?:spoke (?:to|with)|talked to|reach|erreichen|according to|laut)[ ]+)";

}  // namespace

std::string simple_fold(std::string_view text) {
  std::string folded;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto length = static_cast<std::int32_t>(text.size());
  for (std::int32_t at = 0; at < length;) {
    UChar32 code = 0;
    U8_NEXT_OR_FFFD(bytes, at, length, code);
    if (code == 0x2019) code = '\'';
    code = u_foldCase(code, U_FOLD_CASE_DEFAULT);
    char out[U8_MAX_LENGTH];
    std::int32_t size = 0;
    U8_APPEND_UNSAFE(out, size, code);
    folded.append(out, static_cast<std::size_t>(size));
  }
  return folded;
}

namespace {

// Letters, with apostrophes and hyphens between letters. "Agnieszka's" ends before the 's.
std::vector<TextWord> words_of_text(std::string_view text, std::span<const char> taken) {
  std::vector<TextWord> words;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto length = static_cast<std::int32_t>(text.size());
  const auto letter_at = [&](std::int32_t at) {
    if (at >= length) return false;
    UChar32 code = 0;
    U8_NEXT_OR_FFFD(bytes, at, length, code);
    return u_isalpha(code) != 0;
  };
  UChar32 before = ' ';
  for (std::int32_t at = 0; at < length;) {
    const std::int32_t begin = at;
    UChar32 code = 0;
    U8_NEXT_OR_FFFD(bytes, at, length, code);
    if (!u_isalpha(code)) {
      before = code;
      continue;
    }
    TextWord word{.begin = static_cast<std::size_t>(begin),
                  .end = 0,
                  .folded = {},
                  .is_capital = u_isupper(code) != 0 || u_istitle(code) != 0,
                  .is_upper = true,
                  .is_free = true};
    std::int32_t letters = 0, end = begin;
    while (true) {
      if (u_isalpha(code) || u_charType(code) == U_NON_SPACING_MARK) {
        ++letters;
        if (u_islower(code)) word.is_upper = false;
        end = at;
      } else if (!((code == '\'' || code == 0x2019 || code == '-') && letter_at(at))) {
        break;
      } else if (code != '-' && at + 1 <= length && (bytes[at] == 's' || bytes[at] == 'S') && !letter_at(at + 1)) {
        break;  // 's
      }
      if (at >= length) {
        code = ' ';
        break;
      }
      U8_NEXT_OR_FFFD(bytes, at, length, code);
    }
    at = end;
    word.end = static_cast<std::size_t>(end);
    word.is_upper = word.is_upper && letters > 1;
    const unsigned char after = end < length ? bytes[end] : ' ';
    const unsigned char second = end + 1 < length ? bytes[end + 1] : ' ';
    const auto joins = [](UChar32 c) { return c == '_' || c == '@' || c == '\\' || (c >= '0' && c <= '9'); };
    word.is_free = !joins(before) && !joins(after) && !(after == '.' && letter_at(end + 1) && second >= 'a') &&
                   !((after == '(' || after == '!') && (second == ')' || letter_at(end + 1)));
    if (before == '.' && begin >= 2 && u_isalpha(bytes[begin - 2]) && !word.is_capital) word.is_free = false;
    for (std::size_t i = word.begin; i < word.end && word.is_free; ++i) word.is_free = !taken[i];
    word.folded = simple_fold(text.substr(word.begin, word.end - word.begin));
    words.push_back(std::move(word));
    before = 'a';
  }
  return words;
}

}  // namespace

NameFinder::NameFinder(std::span<const std::string> names, std::span<const std::string> keep)
    : brands_(lines_in(redact_lists::kBrands)),
      title_(kTitlePhrase),
      greeting_(kGreetingPhrase),
      sign_off_(kSignOffPhrase),
      dash_(kDashPhrase),
      introduction_(kIntroductionPhrase),
      weak_introduction_(kWeakIntroductionPhrase),
      label_(kLabelPhrase),
      called_(kCalledPhrase) {
  for (const auto& [list, kind] : {std::pair<std::string_view, unsigned>{redact_lists::kFirstNames, kFirst},
                                   {redact_lists::kAmbiguousFirstNames, kAmbiguousFirst},
                                   {redact_lists::kShortFirstNames, kShortFirst},
                                   {redact_lists::kSurnames, kSurname},
                                   {redact_lists::kAmbiguousSurnames, kAmbiguousSurname},
                                   {redact_lists::kNotNames, kStop},
                                   {redact_lists::kFirmWords, kFirm},
                                   {kTitleWords, kTitle},
                                   {kGreetingWords, kGreeting},
                                   {kSignOffWords, kSignOff},
                                   {kIntroductionWords, kIntroduction},
                                   {kWeakIntroductionWords, kWeakIntroduction},
                                   {kLabelWords, kLabel},
                                   {kCalledWords, kCalled}})
    add(list, kind);
  for (const auto& brand : brands_) words_[brand.substr(0, brand.find(' '))] |= kBrand;
  for (auto& [word, kinds] : words_) {
    if (kinds & kAmbiguousFirst) kinds &= ~kFirst;
    if (kinds & kAmbiguousSurname) kinds &= ~kSurname;
  }
  for (const auto& word : keep) words_[simple_fold(word)] |= kStop;
  for (const auto& name : names)
    for (const auto& word : words_of(name)) words_[word] = (words_[word] & ~kStop) | kListed;
}

void NameFinder::add(std::string_view list, unsigned kind) {
  for (std::size_t at = list.find_first_not_of(" \n"); at != list.npos; at = list.find_first_not_of(" \n", at)) {
    const auto end = std::min(list.find_first_of(" \n", at), list.size());
    words_[std::string(list.substr(at, end - at))] |= kind;
    at = end;
  }
}

// "Karl-Heinz" is a first name, "Schulze-Delitzsch" a surname; "IT-Team" is none where a part of it is none.
unsigned NameFinder::kinds_of(const std::string& folded) const {
  const auto found = words_.find(folded);
  unsigned kinds = found == words_.end() ? 0 : found->second;
  const auto hyphen = folded.find('-');
  if (hyphen == folded.npos || (kinds & (kFirst | kStop))) return kinds;
  unsigned all = 0;
  std::vector<unsigned> parts;
  for (std::size_t at = 0; at <= folded.size();) {
    const auto end = std::min(folded.find('-', at), folded.size());
    const auto part = words_.find(folded.substr(at, end - at));
    parts.push_back(part == words_.end() ? 0 : part->second);
    all |= parts.back();
    at = end + 1;
  }
  if (all & kStop) return kinds | kStop;
  if (hyphen >= 3 && ((parts[0] & kFirst) || ((parts[0] & kAmbiguousFirst) && (parts[1] & kFirst)))) kinds |= kFirst;
  if (all & kSurname) kinds |= kSurname;
  return kinds;
}

std::vector<std::string> NameFinder::words_of(std::string_view name) {
  const std::vector<char> none(name.size(), 0);
  std::vector<std::string> words;
  for (auto& word : words_of_text(name, none))
    if (word.end - word.begin >= 3 && !is_particle(word.folded)) words.push_back(std::move(word.folded));
  return words;
}

bool NameFinder::is_first_name(std::string_view folded) const {
  return (kinds_of(std::string(folded)) & kFirst) != 0;
}

// One text's search: what is found is marked on its words.
class NameFinder::Search {
 public:
  Search(const NameFinder& finder, std::string_view text, std::span<const char> taken, const Words& known)
      : finder_(finder), text_(text), known_(known), words_(words_of_text(text, taken)), is_name_(words_.size(), 0) {
    std::size_t upper = 0;
    for (auto& word : words_) {
      upper += word.is_upper;
      word.kinds = finder_.kinds_of(word.folded);
    }
    shouts_ = upper * 2 > words_.size();
  }

  std::vector<Match> run() {
    by_lists();
    for (std::size_t i = 0; i < words_.size(); ++i)
      if (words_[i].kinds & kPhrases) phrases(i);
    if (text_.find('\n') != text_.npos || text_.starts_with("--"))
      for (auto match = finder_.dash_.find(text_); match; match = finder_.dash_.find(text_, match->end)) sign_off(match->end);
    before_mail();
    return spans();
  }

 private:
  void phrases(std::size_t i) {
    const unsigned kinds = words_[i].kinds;
    const auto end_of = [&](const Pattern& pattern) {
      const auto match = pattern.match_at(text_, words_[i].begin);
      return match ? match->end : 0;
    };
    if (kinds & kTitle)
      if (const auto end = end_of(finder_.title_)) title(end);
    if ((kinds & kGreeting) && begins_sentence(i))
      if (const auto end = end_of(finder_.greeting_)) greeting(end);
    if (kinds & kSignOff)
      if (const auto end = end_of(finder_.sign_off_)) sign_off(end);
    if (kinds & kIntroduction)
      if (const auto end = end_of(finder_.introduction_)) introduced(end, 1);
    if (kinds & kWeakIntroduction)
      if (const auto end = end_of(finder_.weak_introduction_)) introduced(end, 9);
    if (kinds & kLabel)
      if (const auto end = end_of(finder_.label_)) introduced(end, 2);
    if (kinds & kCalled)
      if (const auto end = end_of(finder_.called_)) introduced(end, 2);
  }
  bool begins_sentence(std::size_t i) const {
    const auto before = text_.find_last_not_of(" \t", words_[i].begin == 0 ? text_.npos : words_[i].begin - 1);
    if (words_[i].begin == 0 || before == text_.npos || before >= words_[i].begin) return true;
    return std::string_view("\n\r.!?:;>|").find(text_[before]) != std::string_view::npos;
  }

  std::string_view gap(std::size_t i) const {  // behind word i
    return text_.substr(words_[i].end, (i + 1 < words_.size() ? words_[i + 1].begin : text_.size()) - words_[i].end);
  }
  bool is_space(std::string_view gap) const { return gap == " " || gap == "\xC2\xA0"; }
  std::optional<std::size_t> word_at(std::size_t place) const {
    const auto found =
        std::lower_bound(words_.begin(), words_.end(), place, [](const TextWord& word, std::size_t p) { return word.begin < p; });
    if (found == words_.end() || found->begin != place) return std::nullopt;
    return static_cast<std::size_t>(found - words_.begin());
  }
  std::size_t size(std::size_t i) const { return words_[i].end - words_[i].begin; }
  bool is_initial(std::size_t i) const {
    const bool one_letter = size(i) == 1 || (size(i) == 2 && static_cast<unsigned char>(text_[words_[i].begin]) >= 0x80);
    return words_[i].is_capital && one_letter && gap(i).starts_with('.');
  }
  bool is(std::size_t i, unsigned kinds) const { return (words_[i].kinds & kinds) != 0; }
  bool is_stop(std::size_t i) const { return is(i, kStop); }
  bool is_first(std::size_t i) const { return is(i, kFirst | kListed); }
  bool is_any_first(std::size_t i) const { return is(i, kFirst | kListed | kAmbiguousFirst); }
  bool is_surname(std::size_t i) const { return is(i, kSurname | kListed); }
  bool is_any_surname(std::size_t i) const { return is(i, kSurname | kListed | kAmbiguousSurname); }
  bool is_known(std::size_t i) const { return known_.contains(words_[i].folded); }

  // A capital word that may belong to a name; behind mixed letters a short one in capitals is an abbreviation.
  bool can_follow(std::size_t i, bool after_upper) const {
    const auto& word = words_[i];
    if (!word.is_free || !word.is_capital || is_stop(i)) return false;
    if (word.is_upper && !after_upper && !shouts_ && size(i) < 5 && !is_any_surname(i)) return false;
    return size(i) >= 2 || is_initial(i);
  }

  // The last word of the name that begins with word i.
  std::size_t chain(std::size_t i) const {
    std::size_t last = i;
    while (last + 1 < words_.size() && last - i + 1 < kMostWords) {
      const auto between = gap(last);
      const bool joined = is_space(between) || (is_initial(last) && (between == ". " || between == "."));
      if (!joined) break;
      std::size_t next = last + 1;
      while (next + 1 < words_.size() && next - last <= 2 && is_particle(words_[next].folded) && is_space(gap(next))) ++next;
      if (words_[last].is_upper && shouts_ && last > i) break;  // in a text in capitals nothing else says where a name ends
      if (!can_follow(next, words_[i].is_upper)) break;
      if (next > last + 1 && !words_[next].is_free) break;
      last = next;
    }
    while (last > i && is_initial(last)) --last;
    return last;
  }

  bool is_brand(std::size_t i) const {
    if (!is(i, kBrand) || i + 1 >= words_.size()) return false;
    const auto rest = text_.substr(words_[i].begin, 48);
    const auto folded = simple_fold(rest);
    return std::any_of(finder_.brands_.begin(), finder_.brands_.end(), [&](const auto& brand) {
      return folded.starts_with(brand) && (folded.size() == brand.size() || !u_isalpha(static_cast<unsigned char>(folded[brand.size()])));
    });
  }
  // "Paolo & Söhne KG", "Müller GmbH", "Bäckerei Schmidt".
  bool is_firm(std::size_t first, std::size_t last) const {
    if (first > 0 && is_space(gap(first - 1)) && comes_before_firm(words_[first - 1].folded)) return true;
    if (last + 1 >= words_.size()) return false;
    const auto between = gap(last);
    if (between.starts_with(" & ") || between.starts_with("&")) return words_[last + 1].is_capital && !is_any_first(last + 1);
    return is_space(between) && words_[last + 1].is_capital && is(last + 1, kFirm);
  }

  void mark(std::size_t first, std::size_t last) {
    for (std::size_t i = first; i <= last; ++i) is_name_[i] = is_name_[i] ? is_name_[i] : static_cast<char>(i == first ? 1 : 2);
  }

  void by_lists() {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const auto& word = words_[i];
      if (!word.is_free) continue;
      if (is_brand(i)) {
        while (i + 1 < words_.size() && is_space(gap(i)) && words_[i + 1].is_capital && !is_stop(i + 1) && size(i + 1) > 2) ++i;
        continue;
      }
      if (!word.is_capital) {
        const bool plain =
            is_first(i) && size(i) >= 4 && !is_stop(i) && word.folded.find('-') == word.folded.npos && !is_word_in_small(word.folded);
        const bool shown = is_known(i) && is_any_first(i) && !is_stop(i);
        if (plain || shown) mark(i, i);
        continue;
      }
      const bool first = is_first(i) && !is_stop(i);
      if (first || begins_with_ambiguous(i)) {
        const auto last = chain(i);
        if (word.is_upper && !shouts_ && size(i) < 5 && last == i) continue;  // RITA, SAM
        if (!is_firm(i, last)) mark(i, last);
        i = last;
        continue;
      }
      if (is_initial(i) && i + 1 < words_.size() && (gap(i) == ". " || gap(i) == ".")) {
        const bool postscript = word.folded == "p" && words_[i + 1].folded == "s";
        const bool abbreviation =
            postscript || (i > 0 && size(i - 1) == 1 && gap(i - 1).starts_with('.') && !words_[i - 1].is_capital);  // z. B.
        const auto last = chain(i);
        if (last > i && !abbreviation && size(last) >= 4 && !is_firm(i, last)) mark(i, last), i = last;
        continue;
      }
      if (size(i) == 1 && i + 1 < words_.size() && is_space(gap(i)) && is_surname(i + 1) && words_[i + 1].is_capital) {
        mark(i, i + 1), ++i;
        continue;
      }
      if (is_stop(i)) continue;
      if (i + 1 < words_.size() && gap(i) == ", " && words_[i + 1].is_capital && words_[i + 1].is_free && is_first(i + 1) && !is_first(i) &&
          stands_alone(i) && (i + 2 >= words_.size() || !is_space(gap(i + 1)) || !words_[i + 2].is_capital || is_stop(i + 2))) {
        mark(i, i + 1), ++i;  // "Kowalski, Piotr"
        continue;
      }
      if (is_known(i) && (size(i) >= 3)) {
        mark(i, i);
        continue;
      }
      if (is_surname(i) && !(word.is_upper && size(i) < 5) && !is_firm(i, i) && !follows_capital(i)) mark(i, i);
    }
  }

  // Behind a line's begin, a label or a bracket.
  bool stands_alone(std::size_t i) const {
    if (i == 0) return true;
    const auto before = gap(i - 1);
    return before.find_first_of("\n:(<|\"") != before.npos ||
           is_in(words_[i - 1].folded, {"benutzer", "user", "mitarbeiter", "kollege", "kollegin"});
  }
  // "Klinik Wagner", "Projekt Schubert": the capital word before it is of the same name.
  bool follows_capital(std::size_t i) const {
    return i > 0 && is_space(gap(i - 1)) && words_[i - 1].is_capital && !words_[i - 1].is_upper && !is_stop(i - 1) && !is_name_[i - 1];
  }

  bool begins_with_ambiguous(std::size_t i) const {
    const auto& word = words_[i];
    if (!is(i, kAmbiguousFirst)) return false;
    const bool followed = i + 1 < words_.size() && is_space(gap(i)) && words_[i + 1].is_free;
    if (followed && words_[i + 1].is_capital && is_any_surname(i + 1) && !is_stop(i + 1)) return true;
    const bool spoken_of = i > 0 && is_space(gap(i - 1)) && speaks_of_person(words_[i - 1].folded);
    if (is_known(i)) return true;
    const bool is_short = is(i, kShortFirst) && !(followed && words_[i + 1].is_upper && !word.is_upper);
    if (followed && words_[i + 1].is_capital) return (spoken_of || is_short) && !is_stop(i + 1) && !is(i + 1, kFirm);
    return !is_stop(i) && !word.is_upper && ((followed && is_done_by_people(words_[i + 1].folded)) || (spoken_of && !in_calendar(i)));
  }
  bool in_calendar(std::size_t i) const {
    return is_in(words_[i].folded, {"may", "april", "june", "juni", "mai", "august", "jan", "summer", "autumn"});
  }

  // Capital words from `place` on that can be a name, particles first: the first and the last, or nothing.
  std::optional<std::pair<std::size_t, std::size_t>> sequence(std::size_t place) const {
    auto first = word_at(place);
    if (!first) return std::nullopt;
    std::size_t i = *first;
    while (i + 1 < words_.size() && is_particle(words_[i].folded) && is_space(gap(i)) && !words_[i].is_capital) ++i;
    if (!can_follow(i, true)) return std::nullopt;
    return std::pair(*first, chain(i));
  }
  // Behind word i the line, the sentence or the text ends.
  bool closes(std::size_t i) const {
    const auto after = gap(i);
    if (words_[i].end >= text_.size()) return true;
    const auto at = after.find_first_not_of(" \t\r");
    return at == after.npos ? i + 1 >= words_.size() : std::string_view("\n,.!:;()<|/-").find(after[at]) != std::string_view::npos;
  }

  void title(std::size_t place) {
    if (const auto found = sequence(place)) {
      mark(found->first, found->second);
      return;
    }
    const auto i = word_at(place);  // "frau steiner"
    if (i && words_[*i].is_free && !words_[*i].is_capital && size(*i) >= 3 && !is_stop(*i) && !is_particle(words_[*i].folded) &&
        place >= 2 && text_[place - 2] >= 'a' && starts_lower(place))
      mark(*i, *i);
  }
  // The word before `place` is in small letters.
  bool starts_lower(std::size_t place) const {
    std::size_t begin = place - 1;
    while (begin > 0 && text_[begin - 1] != ' ' && text_[begin - 1] != '\n') --begin;
    return text_[begin] >= 'a' && text_[begin] <= 'z';
  }

  void greeting(std::size_t place) {
    auto i = word_at(place);
    const bool behind_comma = place >= 2 && text_[place - 2] == ',';
    while (i) {
      std::size_t last = *i;
      if (!words_[*i].is_free || (is_stop(*i) && !is_first(*i))) return;
      if (words_[*i].is_capital) {
        if (!can_follow(*i, true)) return;
        last = chain(*i);
        if (!is_any_first(*i) && (behind_comma || !closes(last))) return;
        if (is(*i, kAmbiguousFirst) && last == *i && !closes(last)) return;
      } else if (!is_any_first(*i) || !closes(*i)) {
        return;
      }
      mark(*i, last);
      const auto after = gap(last);
      if (!(after == " and " || after == ", " || after == " / " || after == "/" || after == " & ") && !is_conjunction(last)) return;
      const std::size_t next = is_conjunction(last) ? last + 2 : last + 1;
      if (next >= words_.size() || !is_any_first(next)) return;
      i = next;
    }
  }
  bool is_conjunction(std::size_t last) const {
    return last + 2 < words_.size() && is_space(gap(last)) && is_space(gap(last + 1)) &&
           is_in(words_[last + 1].folded, {"and", "und", "et", "y", "e"});
  }

  void sign_off(std::size_t place) {
    const auto i = word_at(place);
    if (!i || !words_[*i].is_free) return;
    if (!words_[*i].is_capital) {
      if (is_any_first(*i) && closes(*i)) mark(*i, *i);
      return;
    }
    const auto found = sequence(place);
    if (!found || !closes(found->second) || is_firm(found->first, found->second)) return;
    // A name that no list knows stands where the text ends, a signature at most behind it; "Thanks. Select:" goes on.
    const auto [first, last] = *found;
    const bool listed = is_any_first(first) || is_any_surname(last);
    const auto rest = text_.substr(words_[last].end);
    const auto next = rest.find_first_not_of(" \t\r");
    const bool ends =
        rest.size() <= kSignature && (next == rest.npos || std::string_view("\n,.<|(").find(rest[next]) != std::string_view::npos);
    if (listed || ends) mark(first, last);
  }

  // `least`: capital words that are a name even where no list knows them.
  void introduced(std::size_t place, std::size_t least) {
    const auto found = sequence(place);
    if (!found || is_brand(found->first) || is_firm(found->first, found->second)) return;
    const auto [first, last] = *found;
    const bool listed = is_first(first) || (is_any_first(first) && last > first) || (is_any_first(first) && closes(last) && least < 9) ||
                        (least < 9 && is_surname(first));
    if (listed || last - first + 1 >= least) mark(first, last);
  }

  // "Rachel Adeyemi <rachel@...>"
  void before_mail() {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      if (words_[i].is_free || i == 0) continue;
      const auto between = gap(i - 1);
      if (!(between == " <" || between == " <<" || between == "\" <") || !words_[i - 1].is_free) continue;
      std::size_t first = i - 1;
      if (!can_follow(first, true)) continue;
      while (first > 0 && is_space(gap(first - 1)) && can_follow(first - 1, true) && i - first < kMostWords) --first;
      if (i - first >= 2 || is_any_first(first)) mark(first, i - 1);
    }
  }

  std::vector<Match> spans() const {
    std::vector<Match> found;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      if (!is_name_[i]) continue;
      std::size_t last = i;
      while (last + 1 < words_.size() && is_name_[last + 1] && (is_name_[last + 1] == 2 || is_space(gap(last)))) ++last;
      found.push_back({words_[i].begin, words_[last].end});
      i = last;
    }
    return found;
  }

  const NameFinder& finder_;
  std::string_view text_;
  const Words& known_;
  std::vector<TextWord> words_;
  std::vector<char> is_name_;  // 1: a name begins, 2: it goes on
  bool shouts_ = false;        // written in capitals
};

std::vector<Match> NameFinder::find(std::string_view text, std::span<const char> taken,
                                    const std::unordered_set<std::string>& known) const {
  return Search(*this, text, taken, known).run();
}

}  // namespace deskhand
