//! The pages of the sections of the language, and of how a spec is read. Their examples are those of the schema.

/// How a spec is read; its parts begin with `## name`.
pub(crate) const GUIDE: &str = include_str!("pages/guide.md");

macro_rules! sections {
    ($($name:ident)*) => {
        /// Name and page of every section.
        const SECTIONS: &[(&str, &str)] = &[$((stringify!($name), include_str!(concat!("pages/", stringify!($name), ".md")))),*];
    };
}
sections!(
    data description evaluate export extends freeze layers loss model name optimizer regularizer runtime schedule seed sweep vars version
);

/// What is said about a section.
pub(crate) fn section(name: &str) -> Option<&'static str> {
    SECTIONS.iter().find(|(section, _)| *section == name).map(|(_, page)| *page)
}

/// All pages.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(_, page)| *page).chain([GUIDE])
}

/// The parts of the guide, after what comes before the first of them.
pub(crate) fn guide() -> impl Iterator<Item = (&'static str, &'static str)> {
    GUIDE.split("\n## ").skip(1).filter_map(|part| part.split_once('\n')).map(|(name, text)| (name, text.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Examples, texts};
    use super::super::language::Language;
    use super::*;

    #[test]
    fn every_section_has_a_page_and_every_page_a_section() {
        let sections: Vec<&str> = Language::installed().spec.fields.iter().map(|field| field.name.as_str()).collect();
        for name in &sections {
            assert!(section(name).is_some(), "src/spec/pages/{name}.md is missing");
        }
        assert!(SECTIONS.iter().all(|(name, _)| sections.contains(name)));
        assert!(SECTIONS.is_sorted());
        assert!(all().all(|page| !texts(page).is_empty()));
        assert!(guide().count() >= 4);
    }

    #[test]
    fn pages_show_every_key_of_the_sections() {
        let language = Language::installed();
        let examples = Examples::of(language);
        let mut without = Vec::new();
        for path in super::super::explain::paths_of(language) {
            if examples.of_key(&path).is_none() {
                without.push(path);
            }
        }
        assert!(without.is_empty(), "no page shows {without:?}");
    }
}
